// Whose fault it is when events are late: Zoom, the delivery, or NATS.
import { el, set, setAttr, span, svg } from "./format.js";

const tooLate = 10; // seconds

// late reports whether a subscription's events are.
export const late = (line) => line.late?.count > 0 && line.late.p50 >= tooLate;

// verdict puts the three hops in words. It names the one that costs most.
export function verdict(line) {
  const { zoom, delivery: way, store } = line;
  if (!line.late?.count) return { level: "none", text: "No event in the last five minutes." };
  const p50 = (hop) => (hop?.count ? hop.p50 : 0), p99 = (hop) => (hop?.count ? hop.p99 : 0);
  const worst = (of) => [[of(zoom), "Zoom"], [of(way), "delivery"], [of(store), "storage in NATS"]].sort((a, b) => b[0] - a[0])[0][1];
  if (!late(line)) {
    const text = `Stored after ${span(line.late.p50)}: Zoom ${span(p50(zoom))}, delivery ${span(p50(way))}, storage ${span(p50(store))}.`;
    if (line.late.p99 < 3 * tooLate) return { level: "ok", text };
    return { level: "warn", text: text + ` One in a hundred is ${span(line.late.p99)} late, most of it by ${worst(p99)}.` };
  }
  switch (worst(p50)) {
    case "Zoom":
      return { level: "warn", text: `Zoom sends events ${span(p50(zoom))} late; receipt and storage add ${span(p50(way) + p50(store))}.` };
    case "storage in NATS":
      return { level: "bad", text: `NATS stores events only ${span(p50(store))} after their receipt; Zoom and delivery add ${span(p50(zoom) + p50(way))}.` };
  }
  return { level: "bad", text: `Events are ${span(p50(way))} on the way from Zoom, or the clocks differ; Zoom and storage add ${span(p50(zoom) + p50(store))}.` };
}

const rows = [
  ["zoom", "Zoom", "event → sent"],
  ["delivery", "delivery", "sent → received"],
  ["store", "storage", "received → stored"],
  ["late", "in all", "event → stored"],
];

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
      body.append(el(key === "late" ? "tr.sum" : "tr", {}, el("th", { scope: "row" }, name, el("span.what", {}, " " + what)), el("td.h-cell", {}, drawing), p50, p99));
      this.cells[key] = { p50, p99, bar, tail, end };
    }
    this.said = el("p.said");
    this.node = el("div.hops", {}, this.said, el("table", {},
      el("caption.unseen", {}, "Lateness by hop, of the last five minutes"),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "lateness, 5 min"), el("th.h-cell", { scope: "col" }, el("span.scale", {}, el("span", {}, "1 ms"), el("span", {}, "1 s"), el("span", {}, "1 d"))), el("th.num", { scope: "col" }, "p50"), el("th.num", { scope: "col" }, "p99"))), body));
  }

  update(line) {
    const { level, text } = verdict(line);
    set(this.said, text);
    setAttr(this.said, "data-level", level);
    const top = Math.log10(86400e3);
    const place = (s) => Math.min(Math.max(Math.log10(Math.max(s * 1000, 1)) / top, 0), 1) * 100;
    for (const [key] of rows) {
      const { p50, p99, bar, tail, end } = this.cells[key], q = line[key];
      const some = q?.count > 0, a = some ? Math.max(place(q.p50), 0.8) : 0, b = some ? Math.max(place(q.p99), a) : 0;
      set(p50, some ? span(q.p50) : "–");
      set(p99, some ? span(q.p99) : "–");
      setAttr(bar, "width", String(a));
      setAttr(tail, "x", String(a));
      setAttr(tail, "width", String(b - a));
      setAttr(end, "x", String(Math.max(b - 0.6, 0)));
      setAttr(end, "width", some ? "0.6" : "0");
    }
  }
}
