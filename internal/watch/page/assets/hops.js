// Whose fault it is when events are late: Zoom, the delivery, or NATS.
import { el, set, setAttr, span, svg } from "./format.js";
import { health, paused } from "./model.js";

const tooLate = 10; // seconds

// late reports whether a subscription's events are.
export const late = (line) => line.late?.count > 0 && line.late.p50 >= tooLate;

// Zoom states in whole seconds when it sent an event, rounded down: its own hop seems
// up to a second shorter than it is, and the delivery as much longer. Below this, in
// seconds, the two are told from each other by nothing.
const blurred = 1.5;

const blurs = (line, q) => (line.zoom?.[q] ?? 0) < blurred && (line.delivery?.[q] ?? 0) < blurred;

// together is what the two take, which is not blurred.
const together = (line, q) => Math.max(0, line.late[q] - line.store[q]);

const blurry = (key) => key === "zoom" || key === "delivery";

// hop words one of the two, to the second. At is where its bar ends; 0: nowhere.
function hop(line, key, q) {
  const s = line[key]?.[q] ?? 0;
  if (blurs(line, q)) return { text: Math.max(together(line, q), line.zoom?.[q] ?? 0) < 1 ? "below 1 s" : "about 1 s", at: 0 };
  return s < (key === "zoom" ? 1 : blurred) ? { text: "below 1 s", at: 0 } : { text: span(Math.round(s)), at: s };
}

// verdict puts the three hops in words. It names the one that costs most.
export function verdict(line) {
  const { zoom, delivery: way, store } = line;
  if (!line.answered) return { level: "none", text: `Lateness is not known: ${health(line).why}.` };
  const why = paused(line);
  if (why) return { level: "bad", text: `Nothing is stored now: ${why}.` + (line.late?.count ? " The figures are from before that." : "") };
  if (!line.late?.count) return { level: "none", text: "No event in the last five minutes." };
  const p50 = (h) => (h?.count ? h.p50 : 0), p99 = (h) => (h?.count ? h.p99 : 0);
  const worst = (of) => [[of(zoom), "Zoom"], [of(way), "delivery"], [of(store), "storage in NATS"]].sort((a, b) => b[0] - a[0])[0][1];
  const words = (key) => hop(line, key, "p50").text.replace("below", "less than");
  if (!late(line)) {
    const before = blurs(line, "p50") ? `Zoom and delivery ${span(together(line, "p50"))}` : `Zoom ${words("zoom")}, delivery ${words("delivery")}`;
    const text = `Stored after ${span(line.late.p50)}: ${before}, storage ${span(p50(store))}.`;
    if (line.late.p99 < 3 * tooLate) return { level: "ok", text };
    return { level: "warn", text: text + ` One in a hundred is ${span(line.late.p99)} late, most of it by ${worst(p99)}.` };
  }
  switch (worst(p50)) {
    case "Zoom":
      return { level: "warn", text: `Zoom sends events ${span(p50(zoom))} late; delivery adds ${words("delivery")}, storage ${span(p50(store))}.` };
    case "storage in NATS":
      return { level: "bad", text: `NATS stores events only ${span(p50(store))} after their receipt; Zoom and delivery add ${blurs(line, "p50") ? words("zoom") : span(p50(zoom) + p50(way))}.` };
  }
  return { level: "bad", text: `Events are ${span(p50(way))} on the way from Zoom, or the clocks differ; Zoom adds ${words("zoom")}, storage ${span(p50(store))}.` };
}

const rows = [
  ["zoom", "Zoom", "event → sent"],
  ["delivery", "delivery", "sent → received"],
  ["store", "storage", "received → stored"],
  ["late", "in all", "event → stored"],
];

const blur = "Zoom states in whole seconds when it sent an event: each of these two may be off by up to a second, their sum is not.";
const sample = "Exact, of the latest events of the last five minutes, at most 256 of them.";

// Hops is the table of the hops, with bars on a scale from 1 ms to a day.
export class Hops {
  constructor() {
    this.cells = {};
    const body = el("tbody");
    for (const [key, name, what] of rows) {
      const p50 = el("td.num"), p99 = el("td.num");
      const bar = svg("rect", { class: "h-bar", x: 0, y: 3, width: 0, height: 8, rx: 1 });
      const tail = svg("rect", { class: "h-tail", x: 0, y: 6, width: 0, height: 2 });
      const end = svg("rect", { class: "h-tail", x: 0, y: 3, width: 0, height: 8 });
      const drawing = svg("svg", { class: "h-svg", viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" }, bar, tail, end);
      body.append(el(key === "late" ? "tr.sum" : "tr", {}, el("th", { scope: "row", title: blurry(key) ? blur : sample }, name, el("span.what", {}, " " + what)), el("td.h-cell", {}, drawing), p50, p99));
      this.cells[key] = { p50, p99, bar, tail, end };
    }
    this.said = el("p.said");
    const note = el("p.what", { title: blur }, "Zoom and delivery are exact to the second only, as Zoom's send times are.");
    this.node = el("div.hops", {}, el("table", {},
      el("caption.unseen", {}, "Lateness by hop. " + sample),
      el("thead", {}, el("tr", {}, el("th", { scope: "col", title: sample }, "lateness, 5 min"), el("th.h-cell", { scope: "col" }, el("span.scale", {}, el("span", {}, "1 ms"), el("span", {}, "1 s"), el("span", {}, "1 d"))), el("th.num", { scope: "col", title: sample }, "p50"), el("th.num", { scope: "col", title: sample }, "p99"))), body), note);
  }

  update(line) {
    const { level, text } = verdict(line);
    set(this.said, text);
    setAttr(this.said, "data-level", level);
    const top = Math.log10(86400e3);
    const place = (s) => Math.min(Math.max(Math.log10(Math.max(s * 1000, 1)) / top, 0), 1) * 100;
    for (const [key] of rows) {
      const { p50, p99, bar, tail, end } = this.cells[key], some = line[key]?.count > 0;
      const [mid, high] = ["p50", "p99"].map((q) => (!some ? { text: "–", at: 0 } : blurry(key) ? hop(line, key, q) : { text: span(line[key][q]), at: Math.max(line[key][q], 1e-3) }));
      const a = mid.at ? Math.max(place(mid.at), 0.8) : 0, b = high.at ? Math.max(place(high.at), a) : a;
      set(p50, mid.text);
      set(p99, high.text);
      setAttr(bar, "width", String(a));
      setAttr(tail, "x", String(a));
      setAttr(tail, "width", String(b - a));
      setAttr(end, "x", String(Math.max(b - 0.6, 0)));
      setAttr(end, "width", high.at ? "0.6" : "0");
    }
  }
}
