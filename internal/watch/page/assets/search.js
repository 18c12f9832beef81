// The search for events: what zoomstream find does, in the latest part of the stream.
import { clock, count, ms, plural, set, visible } from "./format.js";

const $ = (id) => document.getElementById(id);

export class Search {
  constructor(events) {
    this.events = events;
    $("search").addEventListener("submit", (e) => {
      e.preventDefault();
      this.run($("search-what").value.trim(), $("search-since").value);
    });
    $("search-end").addEventListener("click", () => this.end());
    $("search-what").addEventListener("keydown", (e) => { if (e.key === "Escape") this.end(); });
  }

  // run ends the search before: its request, and with it what the server does.
  async run(what, since) {
    this.running?.abort();
    if (!what) return this.end();
    const running = (this.running = new AbortController());
    $("search-end").hidden = false;
    this.say("Searching …");
    try {
      const response = await fetch("search?" + new URLSearchParams({ what, since }), { cache: "no-store", signal: running.signal });
      if (!response.ok) return this.fail(await response.text(), what, since);
      this.show(await response.json());
    } catch (error) {
      if (!running.signal.aborted) this.fail(String(error.message ?? error), what, since);
    }
  }

  show(found) {
    const all = [...found.events, ...found.malformed].sort((a, b) => b.seq - a.seq);
    this.events.search(all);
    this.say((all.length ? `${plural(all.length, "event")} found` + (found.more ? ", the newest of more" : "") : "Nothing found") + ` since ${clock(ms(found.since))}; ${plural(found.looked, "message")} looked at` +
      (found.left_out ? `, ${count(found.left_out)} older ones not` : "") + (!all.length && found.gaps ? `; ${plural(found.gaps, "gap")} in that time` : "") + ".");
  }

  fail(why, what, since) {
    this.events.search(null);
    this.say("Not searched: " + why.trim() + ". In a terminal:", `zoomstream find --since ${since} -- '${what.replaceAll("'", "'\\''")}'`);
  }

  say(text, command = "") {
    set($("search-said"), text);
    $("search-command").hidden = !command;
    $("search-command").textContent = visible(command); // whole, or it would be another one
  }

  end() {
    this.running?.abort();
    if (document.activeElement === $("search-end")) $("search-what").focus();
    $("search-what").value = "";
    $("search-end").hidden = true;
    this.say("");
    this.events.search(null);
  }
}
