// The answer to the question that one comes with.
import { age, count, plural, rate, since } from "./format.js";
import { connected, health, model, partial, waiting } from "./model.js";
import { late } from "./hops.js";

export const stale = 6; // seconds from which on data count as old

export const marks = { ok: "✓", warn: "!", bad: "✕", none: "…" };

// judge says how all is: level, text and more. Lost: the page has no connection. Old: how
// many seconds old the overview is.
export function judge(o, old, lost) {
  const away = !!model.failed.overview;
  if (!o) {
    if (lost) return { level: "bad", text: "No answer" };
    return away ? { level: "bad", text: "NATS does not answer" } : { level: "none", text: "Waiting for data" };
  }
  const all = o.subscriptions.filter((l) => !l.unused), level = { ok: 0, warn: 0, bad: 0 };
  for (const line of all) level[health(line).level]++;
  const up = all.filter(connected).length;
  const silentOnes = o.replicas.filter((r) => !r.answered), quiet = silentOnes.length, cut = o.replicas.filter((r) => r.answered && !r.pipeline?.nats_connected).length;
  const more = [`${up} of ${plural(all.length, "subscription")} connected`, `${o.replicas.length - quiet} of ${plural(o.replicas.length, "replica")} answer`]
    .concat(silentOnes.slice(0, 2).map((r) => `${r.replica} ${r.gone ? "gone" : "silent"}` + (r.heard ? ` for ${age(since(r.heard))}` : "")))
    .concat(cut ? [`${cut} cut off from NATS`] : [])
    .concat(rate(all.reduce((sum, l) => sum + (l.events_per_second ?? 0), 0)).replace("/s", " events/s")).join(" · ");
  if (!lost && waiting()) return { level: "bad", text: "Waiting for JetStream", more: "NATS is connected, but JetStream, the stream or the buckets are not available. This replica connects to Zoom only once they are." };
  if (lost || away) return { level: "bad", text: lost ? "No answer" : "NATS does not answer", more: partial() ? alone(all, up) : "when last heard: " + more };
  const parts = [];
  if (level.bad) parts.push(`${plural(level.bad, "subscription")} not connected`);
  if (o.alarms.length) parts.push(plural(o.alarms.length, "alarm"));
  const delayed = all.filter((l) => late(l)).length;
  if (delayed && !o.alarms.some((a) => a.alarm === "late")) parts.push(`events late in ${plural(delayed, "subscription")}`);
  if (cut) parts.push(`NATS away from ${plural(cut, "replica")}`);
  if (level.bad || cut) return { level: "bad", text: parts.join(", "), more };
  if (quiet) parts.push(`${plural(quiet, "replica")} ${silentOnes.every((r) => r.gone) ? "gone" : "silent"}`);
  if (level.warn && !parts.length) parts.push(`${plural(level.warn, "subscription")} in doubt`);
  if (old > stale) parts.push("data is old");
  if (parts.length) return { level: "warn", text: parts.join(", "), more };
  if (!all.length) return { level: "none", text: "No subscriptions known", more };
  return { level: "ok", text: all.length === 1 ? "Connected" : "All connected", more };
}

// alone is what a replica knows that cannot ask the others.
function alone(all, up) {
  const own = all.filter((l) => l.answered).length, rest = all.length - own;
  const known = `This replica leads ${own ? count(own) : "none"} of ${plural(all.length, "subscription")}` + (own ? `, ${up === own && own > 1 ? "all" : count(up)} connected` : "");
  if (!rest) return known + ".";
  return known + `; whether ${own ? (rest > 1 ? "the others are" : "the other one is") : rest > 1 ? "they are" : "it is"} connected is not known.`;
}

// kept is what becomes of the events that NATS does not take.
export const kept = (o) => (o?.replicas ?? []).filter((r) => r.answered && r.pipeline?.kept).map((r) => `${r.replica}: ${r.pipeline.kept}`).join(" · ");
