// What is known: the latest overview, each subscription's history and what has
// happened, as the server tells it and as two overviews in a row show it.
import { ms, now } from "./format.js";

const day = 86400e3, most = 3000;

export const model = {
  overview: null, events: [], errors: [],
  changed: 0, // grows when a moment is added
};

const histories = new Map(); // subscription -> {t, rate, p50, p99, events, at}
let told = new Map();        // subscription -> moments of the server
const seen = new Map();      // subscription -> moments that two overviews show
const before = new Map();    // subscription -> its line in the overview before

export function apply(message) {
  model.errors = message.errors ?? [];
  if (message.events) model.events = message.events;
  if (message.timeline) {
    told = Map.groupBy(message.timeline, (m) => m.subscription ?? "");
    model.changed++;
  }
  if (!message.overview) return;
  model.overview = message.overview;
  for (const list of ["subscriptions", "replicas", "alarms"]) model.overview[list] ??= [];
  for (const line of model.overview.subscriptions) {
    line.standbys ??= [];
    observe(line);
    extend(line, message.full);
  }
}

// observe notes what the overview shows and the stream may not tell.
function observe(line) {
  const last = before.get(line.subscription);
  before.set(line.subscription, line);
  const add = (m) => {
    if (!(now() - ms(m.at) < day)) return;
    const list = seen.get(line.subscription) ?? [];
    seen.set(line.subscription, [...list.filter((old) => now() - ms(old.at) < day).slice(-200), m]);
    model.changed++;
  };
  if (line.leader && (line.leader !== last?.leader || line.since !== last?.since)) {
    const previous = last?.leader && last.leader !== line.leader ? last.leader : "";
    add({ kind: "leader", at: line.since, replica: line.leader, previous });
  }
  if (line.state && (line.state !== last?.state || line.state_since !== last?.state_since)) {
    // One that is displaced or handed over lives on until the next one is ready.
    if (line.state === "connected" || line.state === "disconnected") add({ kind: line.state, at: line.state_since, replica: line.leader, detail: line.trouble });
  }
  const gap = line.last_gap;
  if (gap && gap.from !== last?.last_gap?.from) add({ kind: "gap", at: gap.from, until: gap.to, detail: gap.cause + (gap.certain ? "" : ", not certain") });
}

// moments of a subscription, oldest first, without what is told twice.
export function moments(name) {
  const server = [...(told.get("") ?? []).filter((m) => m.kind === "began"), ...(told.get(name) ?? [])];
  const own = (seen.get(name) ?? []).filter((m) => !server.some((s) =>
    s.kind === m.kind && Math.abs(ms(s.at) - ms(m.at)) < 3000 && (m.kind === "gap" || !s.replica || s.replica === m.replica)));
  return [...server, ...own].sort((a, b) => ms(a.at) - ms(b.at));
}

// extend adds to a history: the server's samples where it sends them, or else one
// made of the counters every five seconds.
function extend(line, full) {
  let h = histories.get(line.subscription);
  if (!h || full) histories.set(line.subscription, (h = { t: [], rate: [], p50: [], p99: [], events: line.events, at: ms(model.overview.at) }));
  const push = (t, rate, p50, p99) => {
    if (h.t.length && t <= h.t.at(-1)) return;
    h.t.push(t); h.rate.push(rate);
    h.p50.push(p50 > 0 ? Math.max(p50, 1e-3) : null);
    h.p99.push(p99 > 0 ? Math.max(p99, 1e-3) : null);
  };
  for (const s of line.history ?? []) push(ms(s.at) / 1000, s.events_per_second, s.late_p50, s.late_p99);
  const at = ms(model.overview.at), passed = (at - h.at) / 1000;
  if (!line.history?.length && passed >= 5) {
    const some = line.events > h.events; // else there is none, or another replica's counters begin
    push(at / 1000, some ? (line.events - h.events) / passed : 0, some ? line.late.p50 : 0, some ? line.late.p99 : 0);
    h.events = line.events; h.at = at;
  }
  if (h.t.length > most) thin(h);
}

// thin drops every second point of the older half, and what is older than a day.
function thin(h) {
  const keep = h.t.map((t, i) => t * 1000 > now() - day && (i > most / 2 || i % 2 === 0));
  for (const row of ["t", "rate", "p50", "p99"]) h[row] = h[row].filter((_, i) => keep[i]);
}

export const history = (name) => histories.get(name) ?? { t: [], rate: [], p50: [], p99: [] };

export const alarmsOf = (line) => (model.overview?.alarms ?? []).filter((a) =>
  a.subscription === line.subscription || (!a.subscription && a.replica === line.leader));

const words = { connected: "connected", disconnected: "not connected", displaced: "displaced", handed_over: "handed over" };

// health judges a subscription: level (ok, warn, bad), mark, and a word for its state.
export function health(line) {
  const state = words[line.state] ?? (line.state || "state unknown");
  const own = (model.overview?.alarms ?? []).some((a) => a.subscription === line.subscription);
  if (!line.leader) return { level: "bad", mark: "✕", state: "no leader" };
  if (line.state === "disconnected") return { level: "bad", mark: "✕", state };
  if (line.state !== "connected") return { level: "warn", mark: "!", state };
  if (!line.answered) return { level: "warn", mark: "!", state: "connected when last heard" };
  if (own) return { level: "warn", mark: "!", state };
  return { level: "ok", mark: "✓", state };
}
