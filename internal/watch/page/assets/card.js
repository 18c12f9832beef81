// A subscription in full: what one asks for first is seen, the rest is folded away.
import { age, agoOf, clean, clock, count, el, ms, rate, set, setAttr, setTime, since, span } from "./format.js";
import { alarmsOf, health, model, partial, waiting } from "./model.js";
import { Charts } from "./charts.js";
import { Hops } from "./hops.js";
import { fold } from "./fold.js";

const facts = [
  ["leader", "leader"], ["standbys", "standbys"], ["rate", "events"], ["event", "last event"],
  ["flight", "in flight"], ["beat", "heartbeat"], ["gap", "last gap"], ["lease", "lease"],
];
const counters = [["events", "received"], ["published", "stored"], ["duplicates", "repeated"], ["malformed", "malformed"], ["connects", "connects"]];

export class Card {
  constructor(name, windowOf, onClose) {
    this.windowOf = windowOf;
    this.mark = el("span.mark", { "aria-hidden": "true" });
    this.state = el("span.state");
    this.led = el("span.muted");
    this.trouble = el("p.trouble");
    this.source = el("p.muted.note");
    this.fact = {};
    const list = el("dl.facts");
    for (const [key, title] of facts) {
      this.fact[key] = el("dd");
      list.append(el("div", {}, el("dt", {}, title), this.fact[key]));
    }
    this.counter = {};
    const numbers = el("dl.counters", { "aria-label": "Counters since the leader's start" });
    for (const [key, title] of counters) {
      this.counter[key] = el("dd");
      numbers.append(el("div", {}, el("dt", {}, title), this.counter[key]));
    }
    this.hops = new Hops();
    this.charts = new Charts(windowOf);
    this.close = el("button.close", { type: "button", "aria-label": clean("Close " + name), title: "Close" }, "×");
    this.close.addEventListener("click", () => onClose(name));
    this.node = el("article.card", { "aria-label": clean("Subscription " + name) },
      el("div.card-head", {}, this.mark, el("h3", {}, el("bdi", {}, name)), this.state, this.led, this.close),
      this.trouble, this.source, this.hops.said, this.charts.node,
      fold("card " + name, "Lease, counters, and lateness hop by hop", el("div.two", {}, el("div", {}, list, numbers), this.hops.node)));
    this.drawn = {};
  }

  update(line, closable) {
    const h = health(line), f = this.fact;
    setAttr(this.node, "data-level", h.level);
    set(this.mark, h.mark);
    const timed = line.answered && line.state_since;
    setTime(this.state, timed ? ms(line.state_since) : NaN, h.state + (timed ? " for " + age(since(line.state_since)) : ""));
    set(this.led, line.leader ? "led by " + line.leader : "");
    this.close.hidden = !closable;
    const troubles = [line.trouble, ...alarmsOf(line).map((a) => "alarm " + a.alarm + ": " + a.detail)].filter(Boolean);
    this.trouble.hidden = !troubles.length;
    set(this.trouble, troubles.join(" · "));
    this.source.hidden = line.answered;
    set(this.source, notHeard(line, h.why));

    setTime(f.leader, ms(line.since), leaderOf(line));
    set(f.standbys, line.standbys.length ? line.standbys.join(", ") + (partial() ? ", others not known" : "") : partial() ? "not known" : "none: nobody would take over");
    setAttr(f.standbys, "data-level", line.standbys.length || partial() ? "none" : "warn");
    const told = (text) => (line.answered ? text : "not known"); // a silent leader's numbers are not zero
    set(f.rate, told(rate(line.events_per_second)));
    setTime(f.event, ms(line.last_event), line.last_event ? agoOf(line.last_event) : told("–"));
    set(f.flight, told(count(line.in_flight)));
    const frame = line.last_frame ? since(line.last_frame) : NaN;
    set(f.beat, (line.round_trip_ms ? span(line.round_trip_ms / 1000) : told("–")) + (frame >= 0 ? `, frame ${age(frame)} ago` : ""));
    const gap = line.last_gap;
    setTime(f.gap, ms(gap?.from), gap ? `${span(gap.duration_s)} at ${clock(ms(gap.from))}, ${gap.cause}${gap.certain ? "" : ", not certain"}` : told("none known"));
    set(f.lease, (line.epoch ? "epoch " + line.epoch : told("–")) + (line.lease_margin_s ? `, ${age(line.lease_margin_s)} left` : ""));
    for (const [key] of counters) set(this.counter[key], line.answered ? count(line[key]) : "–");
    this.hops.update(line);
    this.draw(line);
  }

  // draw draws what moves slowly: every few seconds, or when it has changed.
  draw(line) {
    const key = [model.changed, this.windowOf(), model.failed.timeline?.read, !model.failed.timeline, line.answered, line.state, line.state_since, this.charts.wide()].join();
    const quick = Math.floor(Date.now() / (this.windowOf() > 3600 ? 30e3 : 3e3));
    if (this.drawn.key === key && this.drawn.quick === quick) return;
    this.drawn = { key, quick };
    this.charts.draw(line);
  }

  destroy() {
    this.charts.destroy();
    this.node.remove();
  }
}

function leaderOf(line) {
  if (!line.leader) return partial() ? "not known" : "none";
  if (partial() && !line.answered) return line.leader + ", when last known";
  return line.leader + (line.since ? `, for ${age(since(line.since))}` : "");
}

function notHeard(line, why) {
  if (line.answered) return "";
  if (waiting()) return "Not known: this replica waits for JetStream.";
  if (partial()) return "Not known: NATS does not answer, and this replica is not the leader.";
  return why[0].toUpperCase() + why.slice(1) + "; this is what " + (line.from_replica ? line.from_replica + " knows." : "the buckets in NATS show.");
}
