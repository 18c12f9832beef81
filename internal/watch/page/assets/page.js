// Listens to the server and keeps the page up to date.
import { age, agoOf, clean, clock, count, el, ms, plural, rate, set, setAttr, setClock, setTime, since, utc } from "./format.js";
import { apply, connected, health, model, partial, waiting } from "./model.js";
import { Card } from "./card.js";
import { late } from "./hops.js";
import { Consumers, Events, Lines, Replicas } from "./tables.js";

const $ = (id) => document.getElementById(id);
const few = 3;        // so many subscriptions are all shown in full
const silent = 15e3;  // without a message for longer, the connection is made anew
const stale = 6;      // seconds from which on data count as old

const view = { seconds: 900, cards: new Map(), closed: new Set(), opened: new Set(), chosen: false };
const lines = new Lines($("lines"), toggle), replicas = new Replicas($("replicas")), consumers = new Consumers($("consumers")), events = new Events($("events"));

// The connection. EventSource connects again by itself, unless the answer was an
// error, as a proxy's or that of a server with too many viewers.
let source, heard = 0, lost = false, again = 0;

function connect() {
  clearTimeout(again);
  source?.close();
  heard = Date.now();
  source = new EventSource("events");
  source.onmessage = (e) => {
    const message = JSON.parse(e.data);
    heard = Date.now();
    lost = false;
    setClock(Date.parse(message.at));
    apply(message);
    render();
  };
  source.onerror = () => {
    lost = true;
    if (source.readyState === EventSource.CLOSED) again = setTimeout(connect, 3000);
    render();
  };
}

setInterval(() => {
  if (Date.now() - heard > silent) {
    lost = true;
    connect();
  }
  if (lost || Date.now() - heard > 1500) render();
}, 1000);

function render() {
  const o = model.overview, old = o ? since(o.at) : 0;
  document.body.classList.toggle("stale", !!o && (lost || old > stale));
  $("banner").hidden = !lost;
  if (lost) set($("banner"), "No connection to this page’s zoomstream; trying again." + (o ? ` What you see is of ${clock(ms(o.at))}, ${age(old)} old.` : ""));
  list($("errors"), model.errors.map((text) => ["✕ " + text]));
  verdict(o, old);
  if (!o) return;
  where(o, old);
  alarms(o.alarms);
  subscriptions(o.subscriptions);
  replicas.update(o.replicas);
  $("consumers-section").hidden = !o.consumers?.durable?.length && !o.consumers?.trouble;
  consumers.update(o.consumers);
  events.update(model.events, model.failed.events);
}

// verdict is the answer to the question one comes with.
function verdict(o, old) {
  const v = judge(o, old);
  setAttr($("verdict"), "data-level", v.level);
  set($("verdict-mark"), { ok: "✓", warn: "!", bad: "✕", none: "…" }[v.level]);
  set($("verdict-text"), v.text);
  set($("verdict-more"), v.more ?? "");
  const kept = (o?.replicas ?? []).filter((r) => r.answered && r.pipeline?.kept);
  $("verdict-kept").hidden = lost || !kept.length;
  set($("verdict-kept"), kept.map((r) => `${r.replica}: ${r.pipeline.kept}`).join(" · "));
  const title = `${{ ok: "✓", warn: "!", bad: "✕", none: "…" }[v.level]} zoomstream ${clean(o?.bucket)}`;
  if (document.title !== title) document.title = title;
}

function judge(o, old) {
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
  if (!lost && waiting()) return { level: "bad", text: "Waiting for JetStream", more: "NATS is connected, but its JetStream, the stream or the buckets are not there. This replica connects to Zoom only then." };
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

function where(o, old) {
  const facts = [["bucket", o.bucket], ["stream", o.stream], ["replicas", String(o.replicas.length)], ["data of", clock(ms(o.at)) + (old > stale ? `, ${age(old)} old` : "")]].filter(([, v]) => v);
  const box = $("where");
  if (box.children.length !== facts.length) box.replaceChildren(...facts.map(([name]) => el("div", {}, el("dt", {}, name), el("dd"))));
  facts.forEach(([, value], i) => set(box.children[i].lastChild, value));
  setAttr(box.lastChild.lastChild, "title", utc(ms(o.at)));
}

// list fills a list of texts, each with a time since when.
function list(box, items) {
  while (box.children.length > items.length) box.lastChild.remove();
  while (box.children.length < items.length) box.append(el("li", {}, el("bdi"), " ", el("time")));
  items.forEach(([text, time], i) => {
    set(box.children[i].firstChild, text);
    setTime(box.children[i].lastChild, ms(time), time ? `since ${clock(ms(time))}, ${age(since(time))}` : "");
  });
}

const alarms = (raised) => list($("alarms"), raised.map((a) =>
  [`▲ ${a.alarm}: ${a.subscription || "replica " + a.replica}${a.detail ? " – " + a.detail : ""}`, a.since]));

const rank = { bad: 0, warn: 1, ok: 2 };

function subscriptions(known) {
  const all = known.filter((l) => !l.unused), unused = known.filter((l) => l.unused);
  const many = all.length > few;
  if (many && !view.chosen) {
    const first = [...all].sort((a, b) => rank[health(a).level] - rank[health(b).level])[0];
    view.opened.add(first.subscription);
    view.chosen = true;
  }
  $("filters").hidden = $("lines").hidden = !many;
  const shown = many ? all.filter(matches) : all;
  $("none-match").hidden = shown.length > 0 || !many;
  if (many) {
    shown.sort((a, b) => rank[health(a).level] - rank[health(b).level]);
    lines.update(shown, view.opened, view.seconds);
  }
  list($("unused"), unused.filter(matches).map((l) => [`– ${l.subscription}: no replica is set up for it` + (l.last_event ? `; last event ${agoOf(l.last_event)}` : "")]));
  cards(many ? shown.filter((l) => view.opened.has(l.subscription)) : shown, many);
}

function matches(line) {
  if ($("troubled").checked && ["ok", "none"].includes(health(line).level)) return false;
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const text = [line.subscription, line.leader, health(line).state, ...line.standbys].join(" ").toLowerCase();
  return words.every((w) => text.includes(w));
}

function cards(shown, closable) {
  const names = new Set(shown.map((l) => l.subscription));
  for (const [name, card] of view.cards) {
    if (names.has(name)) continue;
    card.destroy();
    view.cards.delete(name);
  }
  shown.forEach((line, i) => {
    let card = view.cards.get(line.subscription);
    if (!card) view.cards.set(line.subscription, (card = new Card(line.subscription, () => view.seconds, toggle)));
    const box = $("cards");
    if (box.children[i] !== card.node) box.insertBefore(card.node, box.children[i] ?? null);
    card.update(line, closable);
  });
}

function toggle(name) {
  const opens = !view.opened.delete(name);
  if (opens) view.opened.add(name);
  render();
  if (opens) view.cards.get(name)?.node.scrollIntoView({ block: "nearest" });
}

for (const [id, seconds] of [["win-15m", 900], ["win-24h", 86400]]) {
  $(id).addEventListener("click", () => {
    view.seconds = seconds;
    for (const other of ["win-15m", "win-24h"]) setAttr($(other), "aria-pressed", String(other === id));
    render();
  });
}
for (const id of ["filter", "troubled"]) $(id).addEventListener("input", render);
connect();
