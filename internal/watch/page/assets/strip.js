// The strip of a subscription's last minutes or hours: band = connected, full
// height = gap, a line with a triangle above = another leader, with one below = alarm.
import { age, clean, clock, ms, now, plural, span, svg, utc } from "./format.js";
import { health, model } from "./model.js";

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

export function describe(m) {
  const who = m.replica ? " " + m.replica : "";
  switch (m.kind) {
    case "leader": return m.previous && m.previous !== m.replica ? `${m.name || "new leader"}: ${m.previous} → ${m.replica}` : `${m.replica} leads`;
    case "began": return "the stream was created";
    case "connected": return "connected" + (who && " by" + who);
    case "disconnected": return "not connected any more" + (m.detail ? ": " + m.detail : "");
    case "gap": return `gap of ${span((ms(m.until) - ms(m.at)) / 1000)}` + (m.detail ? ": " + m.detail : "");
    case "alarm": return "alarm " + (m.name ?? "") + (m.detail ? ": " + m.detail : "");
    case "cleared": return "alarm " + (m.name ?? "") + " cleared";
    case "malformed": return "malformed frame" + (m.detail ? ": " + m.detail : "");
  }
  return m.kind + " " + (m.detail ?? "");
}

// drawStrip draws into an svg element that is so wide on the page.
export function drawStrip(node, moments, line, seconds, width, compact) {
  const height = compact ? 16 : 58;
  const to = now(), from = to - seconds * 1000;
  const x = (t) => (Math.min(Math.max(t, from), to) - from) / (to - from) * width;
  const top = compact ? 3 : 14, tall = compact ? 10 : 22;
  const parts = [svg("rect", { class: "s-none", x: 0, y: top, width, height: tall, rx: 2 })];
  const titled = (shape, text) => { shape.append(svg("title", {}, text)); parts.push(shape); };

  const connected = bands(moments, line, from, to).filter(([a, b]) => b > from && a < to);
  for (const [a, b] of connected) {
    titled(svg("rect", { class: "s-up", x: x(a), y: top + tall * 0.2, width: Math.max(x(b) - x(a), 0.5), height: tall * 0.6 }),
      `connected ${clock(a)} – ${clock(b)}`);
  }
  let gaps = 0;
  const drawn = moments.filter((m) => ms(m.at) < to && (ms(m.until) || ms(m.at)) > from);
  for (const m of drawn) {
    if (m.kind !== "gap") continue;
    gaps++;
    const a = x(ms(m.at)), wide = Math.max(x(ms(m.until)) - a, compact ? 2 : 3);
    titled(svg("rect", { class: "s-gap", x: Math.min(a, width - wide), y: top - 2, width: wide, height: tall + 4 }), clock(ms(m.at)) + " " + describe(m));
  }
  if (line.state === "disconnected") {
    const a = x(ms(line.state_since));
    titled(svg("rect", { class: "s-gap", x: a, y: top - 2, width: Math.max(width - a, 3), height: tall + 4 }), "not connected since " + clock(ms(line.state_since)));
  }
  for (const m of drawn) {
    const at = x(ms(m.at)), tip = clock(ms(m.at)) + " " + describe(m), bottom = top + tall;
    if (m.kind === "leader") {
      const sign = compact ? "" : `M${at - 5} 2 h10 l-5 8 z`;
      titled(svg("path", { class: "s-leader", d: `M${at - 0.75} ${top - 4} h1.5 v${tall + 6} h-1.5 z ${sign}` }), tip);
    } else if (m.kind === "alarm") {
      titled(svg("path", { class: "s-alarm", d: compact ? `M${at - 3} ${bottom + 3} l3 -6 l3 6 z` : `M${at - 5} ${bottom + 9} l5 -9 l5 9 z` }), tip);
    } else if (m.kind === "malformed" && !compact) {
      titled(svg("path", { class: "s-malformed", d: `M${at} ${top + tall / 2 - 4} l4 4 l-4 4 l-4 -4 z` }), tip);
    }
  }
  if (!compact) parts.push(...ticks(from, to, x, width, height));
  node.setAttribute("viewBox", `0 0 ${width} ${height}`);
  node.setAttribute("aria-label", clean(summary(drawn, gaps, line, seconds)));
  node.replaceChildren(...parts);
}

function summary(drawn, gaps, line, seconds) {
  const changes = drawn.filter((m) => m.kind === "leader" && m.previous).length;
  return `The last ${age(seconds)}: ${plural(gaps, "gap")}, ${plural(changes, "change of leader", "changes of leader")}; now ${health(line).state}`;
}

function ticks(from, to, x, width, height) {
  const steps = [60, 120, 300, 900, 3600, 7200, 10800, 21600].map((s) => s * 1000);
  const step = steps.find((s) => (to - from) / s <= width / 75) ?? steps.at(-1);
  const shift = new Date(to).getTimezoneOffset() * 60e3, out = [];
  for (let t = Math.ceil((from - shift) / step) * step + shift; t < to; t += step) {
    const at = x(t);
    if (at < 18 || at > width - 18) continue;
    out.push(svg("line", { class: "s-tick", x1: at, x2: at, y1: 40, y2: 44 }));
    const time = new Date(t);
    out.push(svg("text", { class: "s-text", x: at, y: 55, "text-anchor": "middle", "data-utc": utc(t) },
      String(time.getHours()).padStart(2, "0") + ":" + String(time.getMinutes()).padStart(2, "0")));
  }
  return out;
}
