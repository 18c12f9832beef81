// What a moment is: a word, a sign of its own shape and colour, and what there is to say.
import { el, span, svg, ms } from "./format.js";

// Drawn around 0, 0.
const shapes = {
  handover: "M-5.5 -4 h11 l-5.5 8 z",
  rebalance: "M-6.5 0 l4.5 -5 v3 h4 v-3 l4.5 5 l-4.5 5 v-3 h-4 v3 z",
  crash: "M-5.5 -3.5 l2 -2 l3.5 3.5 l3.5 -3.5 l2 2 l-3.5 3.5 l3.5 3.5 l-2 2 l-3.5 -3.5 l-3.5 3.5 l-2 -2 l3.5 -3.5 z",
  leader: "M-5 -4 h10 l-5 8 z",
  renewed: "M-4.5 0 a4.5 4.5 0 1 0 9 0 a4.5 4.5 0 1 0 -9 0 z",
  gap: "M-2 -6 h4 v12 h-4 z",
  disconnected: "M-2 -6 h4 v12 h-4 z",
  connected: "M-6 -2.5 h12 v5 h-12 z",
  began: "M-1 -6 h2 v12 h-2 z",
  alarm: "M-5.5 5 l5.5 -10 l5.5 10 z",
  cleared: "M-5 4.5 l5 -9 l5 9 z",
  malformed: "M0 -5 l5 5 l-5 5 l-5 -5 z",
};

const words = {
  handover: "handover", rebalance: "rebalance", crash: "crash", leader: "new leader", renewed: "renewal", gap: "gap", disconnected: "not connected",
  connected: "connected", began: "stream created", alarm: "alarm", cleared: "alarm cleared", malformed: "malformed frame",
};

// changes is whether a moment is one of another leader.
export const changes = (m) => m.kind === "leader" && !!m.previous && m.previous !== m.replica;

// signOf is the name of a moment's sign. Which kinds there are is not this page's to say.
export function signOf(m) {
  if (changes(m) && ["handover", "rebalance", "crash"].includes(m.name)) return m.name;
  return Object.hasOwn(shapes, m.kind) ? m.kind : "began";
}

export const wordOf = (m) => (m.kind === "leader" && !changes(m) ? "leader" : Object.hasOwn(words, m.kind) ? words[signOf(m)] : String(m.kind));

// drawSign is a sign at a place of a drawing.
export const drawSign = (sign, x, y) => svg("path", { class: "sign g-" + sign, d: shapes[sign], transform: `translate(${x.toFixed(1)} ${y})` });

// sign is a drawing of its own.
export const sign = (name) => svg("svg", { class: "sign-box", viewBox: "-8 -8 16 16", "aria-hidden": "true" }, drawSign(name, 0, 0));

// tell says what there is to say beside the word.
export function tell(m) {
  switch (m.kind) {
    case "leader": return changes(m) ? `${m.previous} → ${m.replica}` : `${m.replica} leads`;
    case "began": return "";
    case "connected": return m.replica ? `by ${m.replica}` : "";
    case "renewed": return m.replica ? `by ${m.replica}: a new connection, without a gap` : "";
    case "gap": return [span((ms(m.until) - ms(m.at)) / 1000), m.name, m.detail].filter(Boolean).join(", ");
    case "alarm": return (m.name ?? "") + (m.detail ? ": " + m.detail : "");
    case "cleared": return m.name ?? "";
  }
  return m.detail ?? "";
}

export function describe(m) {
  const text = tell(m);
  return wordOf(m) + (text ? ": " + text : "");
}

const explained = [
  ["gap", "gap"], ["handover", "handover (planned)"], ["rebalance", "rebalance (evens out the load)"], ["crash", "crash"], ["leader", "new leader (cause unknown)"],
  ["renewed", "renewal (same leader)"], ["alarm", "alarm"], ["malformed", "malformed frame"],
];

// fillLegend explains the signs of the strips.
export function fillLegend(box) {
  box.append(el("span.l-up", {}, "connected"), ...explained.map(([name, text]) => el("span", {}, sign(name), text)), el("span.l-none", {}, "not known"));
}
