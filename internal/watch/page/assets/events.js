// The table of events: the latest, or those that a search has found. Each can be opened.
import { age, clean, clock, el, ms, set, setAttr, setTime, since, span } from "./format.js";
import { model } from "./model.js";
import { Opened } from "./opened.js";
import { arrange, row, table } from "./table.js";

const columns = [["time", ".time"], ["event", ".event"], ["subscription", ""], ["late by", ".num"], ["sequence", ".num.less"], ["topic", ".long"], ["message id", ".long.id"]];

export class Events {
  constructor(box) {
    this.body = table(box, "Events, newest first", columns);
    this.rows = new Map();
    this.box = box;
    this.note = el("p.muted", { hidden: "" });
    this.found = null; // those of a search
    box.prepend(this.note);
  }

  // search shows what was found instead of the latest; null ends that.
  search(found) {
    this.found = found;
    this.update(this.latest ?? [], this.failed);
  }

  // update takes the latest events; if they could not be read, those that were read before.
  update(latest, failed) {
    Object.assign(this, { latest, failed });
    const old = !!failed && !this.found;
    this.note.hidden = !!this.found || !failed && latest.length > 0;
    this.box.classList.toggle("old", old && latest.length > 0);
    set(this.note, !failed ? "No event in the stream yet." : !latest.length ? "Not known: " + failed.error
      : `As of ${clock(ms(failed.read))}, ${age(since(failed.read))} old; what came since is not known: ${failed.error}`);
    const events = this.found ?? latest;
    if (this.shown !== events) this.show(events);
  }

  show(events) {
    this.shown = events;
    const rows = new Map();
    for (const e of events) {
      const r = this.rows.get(e.seq); // in a stream made anew a number is another event's
      rows.set(e.seq, r && r.matched === e.matched && r.at === e.at ? r : this.make(e));
    }
    for (const [seq, r] of this.rows) if (r.opened && !this.found && !rows.has(seq)) rows.set(seq, r); // somebody reads it
    this.body.parentElement.hidden = !rows.size;
    this.rows = new Map([...rows].sort(([a], [b]) => b - a));
    this.place();
  }

  place() {
    arrange(this.body, [...this.rows.values()].flatMap((r) => (r.opened ? [r.node, r.opened] : [r.node])));
  }

  toggle(r, e) {
    if (r.opened) {
      r.opened = null;
      r.button.focus();
    } else {
      const id = "event-" + e.seq;
      r.opened = el("tr.opened-row", { role: "row", id }, el("td", { role: "cell", colspan: String(columns.length) }, new Opened(e, model.overview?.stream).node));
      r.opened.addEventListener("keydown", (key) => { if (key.key === "Escape") this.toggle(r, e); });
      setAttr(r.button, "aria-controls", id);
    }
    setAttr(r.button, "aria-expanded", String(!!r.opened));
    this.place();
  }

  make(e) {
    const { node, cells: c } = row(columns), r = { node, opened: null, matched: e.matched, at: e.at };
    setTime(c[0], ms(e.at), clock(ms(e.at)));
    r.button = el("button.open", { type: "button", "aria-expanded": "false" }, el("bdi", {}, e.malformed ? "✕ malformed: " + (e.reason || "no reason given") : e.event || e.subject));
    r.button.addEventListener("click", () => this.toggle(r, e));
    r.button.addEventListener("keydown", (key) => { if (key.key === "Escape" && r.opened) this.toggle(r, e); });
    c[1].append(r.button);
    if (e.matched) c[1].append(" ", el("span.what", {}, "by " + e.matched));
    setAttr(c[1], "title", clean(e.subject));
    c[2].append(el("bdi", {}, e.subscription ?? ""));
    set(c[3], Number.isFinite(e.late_seconds) ? span(e.late_seconds) : "–");
    set(c[4], String(e.seq));
    if (e.topic) c[5].append(el("bdi", {}, e.topic));
    c[6].append(el("bdi", {}, e.id));
    setAttr(c[6], "title", clean(e.id));
    setAttr(node, "data-level", e.malformed ? "warn" : "ok");
    return r;
  }
}
