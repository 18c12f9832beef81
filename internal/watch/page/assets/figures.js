// The four figures at the top: over all subscriptions, the worst first.
import { age, clock, count, el, ms, plural, set, setAttr, setTime, span } from "./format.js";
import { connected, health, model, partial, paused } from "./model.js";
import { late } from "./hops.js";
import { runbook } from "./runbook.js";

// lasting is how long something lasted when it was told of: while nothing new is heard it
// does not go on.
const lasting = (from) => (ms(model.overview.at) - from) / 1000;

// What each has to say: value, more, level, and a time for who hovers.

function connections(all) {
  const up = all.filter(connected), down = worst(all.filter((l) => !connected(l))), unknown = partial() && down.every((l) => !l.answered);
  if (!all.length) return { value: "–", more: "no subscription is known", level: "none" };
  if (!down.length) {
    const shortest = Math.min(...up.map((l) => lasting(ms(l.state_since))));
    return { value: `${count(up.length)} of ${count(all.length)}`, more: all.length === 1 ? "for " + age(shortest) : `each for ${age(shortest)} or longer`, level: "ok" };
  }
  if (unknown) return { value: up.length ? `${count(up.length)} of ${count(all.length)}` : "not known", more: up.length ? `${plural(down.length, "other")} not known` : "by this replica alone", level: "warn", chapter: "nats" };
  const line = down[0], timed = line.answered && line.state_since ? " for " + age(lasting(ms(line.state_since))) : "";
  return { value: `${count(up.length)} of ${count(all.length)}`, more: `${line.subscription} ${health(line).state}${timed}` + others(down), level: health(line).level };
}

// open reports whether events are missed now: also if nobody leads, whatever the last word of
// the one that did.
const open = (l) => (l.answered ? l.state === "disconnected" : !partial() && (!l.leader || l.state === "disconnected"));
const opened = (l) => ms(l.state === "connected" ? l.last_frame : l.state_since);

function gaps(all) {
  const missing = all.filter(open).sort((a, b) => (opened(a) || Infinity) - (opened(b) || Infinity)), longest = missing[0];
  if (longest) {
    const more = [opened(longest) ? "for " + age(lasting(opened(longest))) : "", longest.leader ? "" : "no leader", longest.trouble].filter(Boolean).join(", ");
    return { value: "now", more: named(longest, all) + more + others(missing), level: "bad", at: opened(longest) };
  }
  const last = all.filter((l) => l.last_gap).sort((a, b) => ms(b.last_gap.to) - ms(a.last_gap.to))[0], gap = last?.last_gap;
  const silent = all.some((l) => !l.answered), unsure = silent || all.some((l) => l.adopting), what = gap && `${named(last, all)}${span(gap.duration_s)} at ${clock(ms(gap.from))}, ${gap.cause}${gap.certain ? "" : ", not certain"}`;
  if (unsure) return { value: "not known", more: gap ? `the last known one ${ago(gap)}, ${what}` : silent ? "not all leaders can be asked" : "a new leader has not yet read what came before", level: "warn", chapter: silent ? unheard() : undefined, at: ms(gap?.from) };
  if (!gap) return { value: "none", more: "none known", level: "ok" };
  return { value: ago(gap), more: what, level: "none", at: ms(gap.from) };
}

function lateness(all) {
  const some = all.filter((l) => l.answered && l.late?.count > 0), stopped = all.filter(paused);
  if (stopped.length) return { value: "–", more: `${all.length > 1 ? stopped[0].subscription + others(stopped) + ": " : ""}nothing is stored now`, level: "bad", chapter: "spooling" };
  const last = some.sort((a, b) => late(b) - late(a) || b.late.p99 - a.late.p99)[0];
  const answered = all.filter((l) => l.answered), silent = all.length - answered.length, but = silent ? `; ${plural(silent, "other")} not known` : "";
  if (!answered.length) return { value: "not known", more: "no leader answers", level: all.length ? "warn" : "none", chapter: unheard() };
  if (!last) {
    const young = answered.some((l) => lasting(ms(l.since)) < 300); // what came before is another's to know
    return { value: "–", more: (young ? "none since the leader changed" : "no event in the last 5 min") + but, level: silent ? "warn" : "none", chapter: silent ? unheard() : undefined };
  }
  const slow = late(last) || last.late.p99 >= 30;
  return { value: span(last.late.p99), more: `${named(last, all)}half of the events within ${span(last.late.p50)}${but}`, level: slow || silent ? "warn" : "ok", chapter: silent && !slow ? unheard() : undefined };
}

function standbys(all) {
  if (!all.length) return { value: "–", more: "", level: "none" };
  const fewest = [...all].sort((a, b) => a.standbys.length - b.standbys.length)[0], none = all.filter((l) => !l.standbys.length);
  if (none.length && partial()) return { value: "not known", more: "by this replica alone", level: "warn", chapter: "nats" };
  if (none.length) return { value: "none", more: "nobody would take over" + (all.length > 1 ? " " + none[0].subscription + others(none) : ""), level: "warn" };
  const names = [...new Set(all.flatMap((l) => l.standbys))], same = all.every((l) => l.standbys.length === fewest.standbys.length);
  const who = names.slice(0, 2).join(", ") + (names.length > 2 ? ` and ${count(names.length - 2)} more` : "");
  return { value: (same ? "" : "≥ ") + count(fewest.standbys.length), more: all.length === 1 ? `${who} would take over` : `for each; ${who}`, level: "ok" };
}

const ago = (gap) => age(lasting(ms(gap.to))) + " ago";
const unheard = () => (partial() ? "nats" : "replica-down");
const named = (line, all) => (all.length > 1 ? line.subscription + ": " : "");
const others = (list) => (list.length > 1 ? ` and ${count(list.length - 1)} more` : "");
const rank = { bad: 0, warn: 1, ok: 2, none: 3 };
const worst = (list) => list.sort((a, b) => rank[health(a).level] - rank[health(b).level]);

const figures = [
  ["connected", connections, "not-connected"], ["last gap", gaps, "gaps"], ["lateness p99, 5 min", lateness, "late"], ["standbys", standbys, "no-standby"],
];

export class Figures {
  constructor(box) {
    this.parts = figures.map(([title, judge, chapter]) => {
      const value = el("dd.value"), more = el("dd.more-text"), link = el("dd.more-text");
      const node = el("div.figure", {}, el("dt", {}, title), value, more, link);
      box.append(node);
      return { judge, chapter, node, value, more, link };
    });
  }

  // update takes the lines; old ones judge nothing.
  update(lines, old) {
    const all = lines.filter((l) => !l.unused);
    for (const { judge, chapter: usual, node, value, more, link } of this.parts) {
      const said = judge([...all]), chapter = said.chapter ?? usual, level = old ? "none" : said.level;
      setAttr(node, "data-level", level);
      setTime(value, said.at ?? NaN, said.value);
      set(more, old && said.more ? "when last heard: " + said.more : said.more);
      setAttr(more, "title", more.textContent);
      link.hidden = !["warn", "bad"].includes(level);
      if (link.dataset.chapter !== chapter) link.replaceChildren(runbook(chapter));
      link.dataset.chapter = chapter;
    }
  }
}
