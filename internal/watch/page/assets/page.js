// Listens to the server and keeps the page up to date.
import { age, agoOf, clock, el, ms, set, setAttr, setClock, since, utc, clean } from "./format.js";
import { apply, health, model } from "./model.js";
import { judge, kept, marks, stale } from "./verdict.js";
import { Alarms } from "./alarms.js";
import { Card } from "./card.js";
import { Consumers } from "./consumers.js";
import { Events } from "./events.js";
import { Figures } from "./figures.js";
import { Lines } from "./lines.js";
import { Moments } from "./moments.js";
import { Replicas } from "./replicas.js";
import { Search } from "./search.js";
import { fillLegend } from "./signs.js";

const $ = (id) => document.getElementById(id);
const few = 3;        // so many subscriptions are all shown in full
const silent = 15e3;  // without a message for longer, the connection is made anew

const view = { seconds: 900, cards: new Map(), opened: new Set(), chosen: false };
const alarms = new Alarms($("alarms"), $("alarms-more")), figures = new Figures($("figures")), lines = new Lines($("lines"), toggle);
const moments = new Moments($("moments"), $("moments-note"), $("moments-more"));
const replicas = new Replicas($("replicas"), $("replicas-said")), consumers = new Consumers($("consumers"), $("consumers-said")), events = new Events($("events"));
new Search(events);
fillLegend($("legend"));

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
  banner(o, old);
  list($("errors"), model.errors.map((text) => "✕ " + text));
  verdict(o, old);
  if (!o) return;
  where(o, old);
  alarms.update(o.alarms);
  figures.update(o.subscriptions, lost || old > stale);
  subscriptions(o.subscriptions);
  moments.update(view.seconds, o.subscriptions.length > 1);
  replicas.update(o.replicas);
  $("consumers-section").hidden = !o.consumers?.durable?.length && !o.consumers?.trouble;
  consumers.update(o.consumers);
  events.update(model.events, model.failed.events);
}

// banner is read aloud when the connection is lost; not the age of what is shown.
function banner(o, old) {
  $("banner").hidden = !lost;
  set($("banner-text"), lost ? "No connection to this page’s zoomstream; trying again." : "");
  set($("banner-age"), lost && o ? `This data is as of ${clock(ms(o.at))}, ${age(old)} old.` : "");
}

function verdict(o, old) {
  const v = judge(o, old, lost), safe = lost ? "" : kept(o);
  setAttr($("verdict"), "data-level", v.level);
  set($("verdict-mark"), marks[v.level]);
  set($("verdict-text"), v.text);
  set($("verdict-more"), v.more ?? "");
  $("verdict-kept").hidden = !safe;
  set($("verdict-kept"), safe);
  const title = `${marks[v.level]} zoomstream ${clean(o?.bucket)}`;
  if (document.title !== title) document.title = title;
}

function where(o, old) {
  const facts = [["bucket", o.bucket], ["stream", o.stream], ["replicas", String(o.replicas.length)], ["as of", clock(ms(o.at)) + (old > stale ? `, ${age(old)} old` : "")]].filter(([, v]) => v);
  const box = $("where");
  if (box.children.length !== facts.length) box.replaceChildren(...facts.map(([name]) => el("div", {}, el("dt", {}, name), el("dd"))));
  facts.forEach(([, value], i) => set(box.children[i].lastChild, value));
  setAttr(box.lastChild.lastChild, "title", utc(ms(o.at)));
}

// list fills a list of texts.
function list(box, texts) {
  while (box.children.length > texts.length) box.lastChild.remove();
  while (box.children.length < texts.length) box.append(el("li", {}, el("bdi")));
  texts.forEach((text, i) => set(box.children[i].firstChild, text));
}

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
  list($("unused"), unused.filter(matches).map((l) => `– ${l.subscription}: no replica is set up for it` + (l.last_event ? `; last event ${agoOf(l.last_event)}` : "")));
  const full = many ? shown.filter((l) => view.opened.has(l.subscription)) : shown;
  cards(full, many);
  $("legend").hidden = !full.length;
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
  else lines.focus(name);
}

for (const [id, seconds] of [["win-15m", 900], ["win-24h", 86400]]) {
  $(id).addEventListener("click", () => {
    view.seconds = seconds;
    for (const other of ["win-15m", "win-24h"]) setAttr($(other), "aria-pressed", String(other === id));
    render();
  });
}
for (const id of ["filter", "troubled"]) $(id).addEventListener("input", render);
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.closest?.("input[type=search], select")) return;
  e.preventDefault();
  $("search-what").focus();
});
connect();
