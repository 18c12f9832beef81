// What is known: the latest overview, each subscription's history and what has
// happened, as the server tells it and as two overviews in a row show it.
import { ms, now } from "./format.js";

const day = 86400e3, most = 3000;

export const model = {
  overview: null, events: [], errors: [],
  failed: {},  // parts of the message that could not be had: {error, read, partial}
  changed: 0, // grows when a moment is added
};

const histories = new Map(); // subscription -> {t, rate, p50, p99, base}
let told = new Map();        // subscription -> moments of the server
const seen = new Map();      // subscription -> moments that two overviews show
const before = new Map();    // subscription -> its line in the overview before

export function apply(message) {
  model.errors = message.errors ?? [];
  model.failed = message.failed ?? {};
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

// observe notes what the overview shows and the stream may not tell; what is not the
// leader's word is older than what was seen before.
function observe(line) {
  if (!line.answered) return;
  const last = before.get(line.subscription);
  before.set(line.subscription, line);
  const add = (m) => {
    if (!(now() - ms(m.at) < day)) return;
    const list = seen.get(line.subscription) ?? [];
    seen.set(line.subscription, [...list.filter((old) => now() - ms(old.at) < day).slice(-200), { ...m, subscription: line.subscription }]);
    model.changed++;
  };
  if (line.leader && (line.leader !== last?.leader || line.since !== last?.since)) {
    const previous = last?.leader && last.leader !== line.leader ? last.leader : "";
    add({ kind: "leader", at: line.since, replica: line.leader, previous });
  }
  if (line.state && (line.state !== last?.state || line.state_since !== last?.state_since)) {
    // One that is displaced or handed over lives on until the next one is ready.
    if (line.state === "connected") add({ kind: renewed(line) ? "renewed" : "connected", at: line.state_since, replica: line.leader });
    if (line.state === "disconnected") add({ kind: line.state, at: line.state_since, replica: line.leader, detail: line.trouble });
  }
  const gap = line.last_gap;
  if (gap && gap.from !== last?.last_gap?.from) add({ kind: "gap", at: gap.from, until: gap.to, detail: gap.cause + (gap.certain ? "" : ", not certain") });
}

// renewed: a leader's later connection begins with the end of a gap, or has replaced the
// one before.
const renewed = (line) => line.connection > 1 && !(Math.abs(ms(line.last_gap?.to) - ms(line.state_since)) < 1000);

const merged = new Map(); // subscription -> its moments, as of a change

// moments of a subscription, oldest first, without what is told twice.
export function moments(name) {
  const last = merged.get(name);
  if (last?.changed === model.changed) return last.list;
  const server = [...(told.get("") ?? []).filter((m) => m.kind === "began"), ...(told.get(name) ?? [])];
  const own = (seen.get(name) ?? []).filter((m) => !server.some((s) =>
    s.kind === m.kind && Math.abs(ms(s.at) - ms(m.at)) < 3000 && (m.kind === "gap" || !s.replica || s.replica === m.replica)));
  const list = [...server, ...own].sort((a, b) => ms(a.at) - ms(b.at));
  merged.set(name, { changed: model.changed, list });
  return list;
}

// everything that has happened, oldest first; that a connection follows a gap or a change
// of leader goes without saying.
export function everything() {
  const names = [...new Set([...told.keys(), ...seen.keys()])].filter(Boolean);
  const follows = (m, others) => m.kind === "connected" && others.some((o) => (o.kind === "gap" || o.kind === "leader") && Math.abs((ms(o.until) || ms(o.at)) - ms(m.at)) < 5000);
  const own = names.flatMap((name) => moments(name).filter((m, _, all) => m.kind !== "began" && !follows(m, all)));
  return [...(told.get("") ?? []), ...own].sort((a, b) => ms(a.at) - ms(b.at));
}

// extend adds to a history: the server's samples where it sends them, or else one
// made of the counters every five seconds. Counters are one process's: across a
// handover, or while the leader is silent, they tell nothing, and the plot has a break
// until the server's samples are had again.
function extend(line, full) {
  let h = histories.get(line.subscription);
  if (!h || full) histories.set(line.subscription, (h = { t: [], rate: [], p50: [], p99: [], base: null }));
  const push = (t, rate, p50, p99) => {
    if (h.t.length && t <= h.t.at(-1)) return;
    h.t.push(t); h.rate.push(rate);
    h.p50.push(p50 > 0 ? Math.max(p50, 1e-3) : null);
    h.p99.push(p99 > 0 ? Math.max(p99, 1e-3) : null);
  };
  const samples = line.history ?? [], at = ms(model.overview.at) / 1000;
  const base = h.base, next = line.answered ? { process: line.leader_nonce || line.leader, events: line.events, at } : null;
  for (const s of samples) push(ms(s.at) / 1000, s.events_per_second, s.late_p50, s.late_p99);
  if (samples.length || !base) {
    h.base = next;
  } else if (next?.process !== base.process || next.events < base.events) {
    push(at, null, 0, 0);
    h.base = next;
  } else if (at - base.at >= 5) {
    const events = next.events - base.events;
    push(at, events / (at - base.at), events && line.late.p50, events && line.late.p99);
    h.base = next;
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

// partial reports whether the overview is of one replica that cannot ask the others.
export const partial = () => !!model.failed.overview?.partial;

// waiting reports whether this replica has NATS and waits for its JetStream.
export const waiting = () => partial() && model.overview.replicas.some((r) => r.phase === "starting" && r.pipeline?.nats_connected);

// paused is why the leader of a subscription stores nothing now; empty if it does.
export function paused(line) {
  const p = model.overview?.replicas.find((r) => r.answered && r.nonce === line.leader_nonce)?.pipeline;
  if (!line.answered || !p) return "";
  return p.nats_connected ? p.trouble ?? "" : `${line.leader} has no connection to NATS`;
}

// connected: only the leader's own word counts.
export const connected = (line) => !!line.leader && line.answered && line.state === "connected";

const words = { connected: "connected", disconnected: "not connected", displaced: "displaced", handed_over: "handed over" };

// health judges a subscription: level (ok, warn, bad; none: nobody uses it), mark, a
// word for its state, and why the leader's word is missing.
export function health(line) {
  if (line.unused) return { level: "none", mark: "–", state: "unused" };
  if (!line.answered) return unheard(line);
  const state = words[line.state] ?? (line.state || "state unknown");
  const own = (model.overview?.alarms ?? []).some((a) => a.subscription === line.subscription);
  if (!line.leader) return { level: "bad", mark: "✕", state: "no leader" };
  if (line.state === "disconnected") return { level: "bad", mark: "✕", state };
  if (line.state !== "connected" || own || paused(line)) return { level: "warn", mark: "!", state };
  return { level: "ok", mark: "✓", state };
}

function unheard(line) {
  if (partial()) return { level: "warn", mark: "?", state: "not known", why: "NATS does not answer" };
  const bad = (state, why) => ({ level: "bad", mark: "✕", state, why });
  if (!line.leader) return bad("no leader", "there is no leader");
  if (model.overview.replicas.some((r) => r.answered && r.nonce === line.leader_nonce)) return bad("about to connect", "the leader is about to connect");
  return bad("leader silent" + (words[line.state] ? ", was " + words[line.state] : ""), "the leader does not answer");
}
