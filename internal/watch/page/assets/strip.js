// The strip of a subscription: band = connected, full height = gap; above it the signs of
// what else happened, below it alarms and broken frames.
import { age, clean, clock, ms, plural, svg, utc } from "./format.js";
import { health, model } from "./model.js";
import { hourOf, labelled, left, place, right, ticks } from "./axis.js";
import { changes, describe, drawSign, signOf, wordOf } from "./signs.js";

// bands are the intervals with a connection, as far as it is known.
function bands(moments, line, from, to) {
  const out = [];
  for (const m of moments) { // before the stream was made, nothing was
    if (m.kind === "began") from = Math.max(from, ms(m.at));
  }
  let open = null, known = false;
  const close = (at) => { if (open !== null) out.push([open, at]); open = null; };
  for (const m of moments) {
    const at = ms(m.at);
    if (m.kind === "connected") {
      if (open === null) open = at;
      if (m.until) close(ms(m.until));
    } else if (m.kind === "renewed") {
      if (open === null) open = known ? at : from;
    } else if (m.kind === "disconnected" || m.kind === "gap") {
      if (!known) open = from; // it was connected before, or there was nothing to end
      close(at);
      if (m.kind === "gap" && m.until) open = ms(m.until);
    } else continue;
    known = true;
  }
  if (line.state === "connected") {
    const since = ms(line.state_since);
    if (open === null || Number.isFinite(since) && since < open) open = Number.isFinite(since) ? since : from;
  }
  close(Math.min(to, knownUntil(line) || open));
  return out;
}

// knownUntil is how long it is known that a connection was there.
function knownUntil(line) {
  if (line.state === "disconnected") return ms(line.state_since);
  if (line.answered && line.state) return ms(model.overview.at);
  return ms(line.last_frame) || ms(model.failed.overview?.read);
}

const above = { leader: true, renewed: true }, below = { alarm: true, malformed: true };
const top = 20, tall = 20, letter = 6.2; // pixels; a letter's width is about that

// drawStrip draws into an svg element that is so wide on the page.
export function drawStrip(node, moments, line, axis, width) {
  const height = 72, { from, to } = axis, x = place(axis, left, width - right);
  const parts = [svg("rect", { class: "s-none", x: left, y: top, width: Math.max(width - left - right, 0), height: tall, rx: 2 })];
  const drawn = bandsAndGaps(parts, moments, line, axis, x, top, tall);
  const wide = width - left - right;
  for (const t of ticks(axis, wide)) {
    const at = x(t);
    parts.push(svg("line", { class: "s-tick", x1: at, x2: at, y1: top + tall, y2: top + tall + 4 }));
    if (labelled(axis, t, wide)) parts.push(svg("text", { class: "s-text", x: at, y: height - 2, "text-anchor": "middle", "data-utc": utc(t) }, hourOf(t)));
  }
  let free = 0; // where the next word may begin
  const upper = drawn.filter((m) => above[m.kind]);
  upper.forEach((m, i) => {
    const at = x(ms(m.at)), next = i + 1 < upper.length ? x(ms(upper[i + 1].at)) - 8 : width;
    parts.push(svg("line", { class: "s-line g-" + signOf(m), x1: at, x2: at, y1: top - 4, y2: top + tall + 2 }));
    titled(parts, drawSign(signOf(m), at, 9), m);
    const word = wordOf(m), long = word.length * letter, begin = at + 9;
    const before = begin + long > Math.min(next, width - 2) ? at - 9 - long : begin;
    if (before >= free && (before === begin || before >= 0)) {
      parts.push(svg("text", { class: "s-text", x: before, y: 13 }, word));
      free = Math.max(at + 8, before + long + 4);
    } else free = Math.max(free, at + 8);
  });
  for (const m of drawn) {
    if (below[m.kind]) titled(parts, drawSign(signOf(m), x(ms(m.at)), top + tall + 9), m);
  }
  finish(node, parts, width, height, drawn, line, axis);
}

// drawShort draws one for a row of a table.
export function drawShort(node, moments, line, axis, width) {
  const height = 16, x = place(axis, 0, width);
  const parts = [svg("rect", { class: "s-none", x: 0, y: 3, width, height: 10, rx: 2 })];
  const drawn = bandsAndGaps(parts, moments, line, axis, x, 3, 10);
  for (const m of drawn) {
    const at = x(ms(m.at));
    if (above[m.kind]) titled(parts, svg("rect", { class: "s-line g-" + signOf(m), x: at - 1, y: 0, width: 2, height: 16 }), m);
    else if (m.kind === "alarm") titled(parts, svg("path", { class: "sign g-alarm", d: `M${at - 3} 16 l3 -6 l3 6 z` }), m);
  }
  finish(node, parts, width, height, drawn, line, axis);
}

function titled(parts, shape, m) {
  shape.append(svg("title", {}, clock(ms(m.at)) + " " + describe(m)));
  parts.push(shape);
}

// bandsAndGaps draws these and returns all moments that are in the strip.
function bandsAndGaps(parts, moments, line, { from, to }, x, top, tall) {
  for (const [a, b] of bands(moments, line, from, to).filter(([a, b]) => b > from && a < to)) {
    const band = svg("rect", { class: "s-up", x: x(a), y: top + tall * 0.2, width: Math.max(x(b) - x(a), 0.5), height: tall * 0.6 });
    band.append(svg("title", {}, `connected ${clock(a)} – ${clock(b)}`));
    parts.push(band);
  }
  const drawn = moments.filter((m) => ms(m.at) < to && (ms(m.until) || ms(m.at)) >= from), end = x(to);
  const gap = (a, b, text) => {
    const wide = Math.max(b - a, 3), shape = svg("rect", { class: "s-gap", x: Math.min(a, end - wide), y: top - 2, width: wide, height: tall + 4 });
    shape.append(svg("title", {}, text));
    parts.push(shape);
  };
  for (const m of drawn) if (m.kind === "gap") gap(x(ms(m.at)), x(ms(m.until)), clock(ms(m.at)) + " " + describe(m));
  if (line.state === "disconnected") gap(x(ms(line.state_since)), end, "not connected since " + clock(ms(line.state_since)));
  return drawn;
}

function finish(node, parts, width, height, drawn, line, { from, to }) {
  const gaps = drawn.filter((m) => m.kind === "gap").length, others = drawn.filter(changes).length;
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("aria-label", clean(`The last ${age((to - from) / 1000)}: ${plural(gaps, "gap")}, ${plural(others, "change of leader", "changes of leader")}; now ${health(line).state}`));
  node.replaceChildren(...parts);
}
