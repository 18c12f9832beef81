// The tables: subscriptions in short, replicas, consumers, latest events.
import { age, agoOf, brief, bytes, clean, clock, count, el, ms, plural, rate, set, setAttr, setTime, since, span, svg } from "./format.js";
import { health, moments, partial } from "./model.js";
import { late } from "./hops.js";
import { drawStrip } from "./strip.js";

// table makes a table with one body. On a phone its rows become blocks, which
// would cost it its meaning for a screen reader: so the roles are spelled out.
function table(box, caption, columns) {
  const body = el("tbody", { role: "rowgroup" });
  box.replaceChildren(el("table.data", { role: "table" }, el("caption.unseen", {}, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns.map(([title, kind]) => el("th" + kind, { scope: "col", role: "columnheader" }, title)))), body));
  return body;
}

function row(columns) {
  const cells = columns.map(([title, kind]) => el("td" + kind, { role: "cell", "data-title": title }));
  return { node: el("tr", { role: "row" }, ...cells), cells };
}

// arrange puts the rows in order, moving only those that are not in place.
function arrange(body, nodes) {
  nodes.forEach((node, i) => { if (body.children[i] !== node) body.insertBefore(node, body.children[i] ?? null); });
  while (body.children.length > nodes.length) body.lastChild.remove();
}

const lineColumns = [["subscription", ".name"], ["state", ".state"], ["leader", ""], ["standbys", ".long.less"], ["events", ".num"], ["late p50", ".num.less"], ["late p99", ".num"],
  ["in flight", ".num.less"], ["last event", ".num.less"], ["last 15 min", ".strip-cell.less"]];

export class Lines {
  constructor(box, onOpen) {
    this.columns = lineColumns;
    this.body = table(box, "Subscriptions", this.columns);
    this.heading = box.querySelector("thead th:last-child");
    this.rows = new Map();
    this.onOpen = onOpen;
  }

  update(lines, opened, seconds) {
    set(this.heading, seconds > 3600 ? "last 24 h" : "last 15 min");
    // Measured once: a width that is read between changes costs a layout each time.
    this.wide = this.body.querySelector(".strip")?.clientWidth || 136;
    lines.forEach((line, i) => this.fill(line, i, opened.has(line.subscription), seconds));
    const present = new Set(lines.map((l) => l.subscription));
    for (const name of this.rows.keys()) if (!present.has(name)) this.rows.delete(name);
    arrange(this.body, lines.map((l) => this.rows.get(l.subscription).node));
  }

  fill(line, i, open, seconds) {
    let r = this.rows.get(line.subscription);
    if (!r) {
      r = row(this.columns);
      r.button = el("button.open", { type: "button" }, el("bdi", {}, line.subscription));
      r.mark = el("span.mark", { "aria-hidden": "true" });
      r.word = el("span");
      r.strip = svg("svg", { class: "strip", role: "img" });
      r.cells[0].append(r.button);
      r.cells[1].append(r.mark, " ", r.word);
      r.cells[9].append(r.strip);
      r.node.addEventListener("click", () => this.onOpen(line.subscription));
      this.rows.set(line.subscription, r);
    }
    const h = health(line), c = r.cells, some = line.late?.count > 0;
    setAttr(r.node, "data-level", h.level);
    setAttr(r.button, "aria-expanded", String(open));
    set(r.mark, h.mark);
    const timed = line.answered && line.state_since, told = (text) => (line.answered ? text : "–");
    setTime(r.word, timed ? ms(line.state_since) : NaN, h.state + (timed ? ", " + brief(since(line.state_since)) : ""));
    set(c[2], line.leader || (partial() ? "not known" : "none"));
    set(c[3], line.standbys.length ? line.standbys.join(", ") : partial() ? "not known" : "none");
    setAttr(c[3], "title", c[3].textContent);
    set(c[4], told(rate(line.events_per_second)));
    set(c[5], some ? span(line.late.p50) : "–");
    set(c[6], some ? span(line.late.p99) : "–");
    setAttr(c[6], "data-level", late(line) ? "warn" : "none");
    set(c[7], told(count(line.in_flight)));
    setTime(c[8], ms(line.last_event), agoOf(line.last_event));
    // Drawing is what costs most: a strip moves little in ten seconds, and not all are drawn at once.
    const key = [Math.floor(Date.now() / 10e3 + i / 20), seconds, line.answered, line.state, line.leader, this.wide].join();
    if (r.drawn !== key) drawStrip(r.strip, moments(line.subscription), line, seconds, this.wide, true);
    r.drawn = key;
  }
}

const replicaColumns = [["replica", ".name"], ["phase", ""], ["leads", ".num"], ["stands by", ".num"], ["NATS", ""], ["in flight", ".num"], ["spool", ""],
  ["version", ""], ["started", ""], ["heard", ""]];

export class Replicas {
  constructor(box) {
    this.body = table(box, "Replicas", replicaColumns);
    this.rows = new Map();
  }

  update(members) {
    for (const m of members) this.fill(m);
    const present = new Set(members.map((m) => m.replica + "\n" + m.nonce));
    for (const key of this.rows.keys()) if (!present.has(key)) this.rows.delete(key);
    arrange(this.body, members.map((m) => this.rows.get(m.replica + "\n" + m.nonce).node));
  }

  fill(m) {
    const key = m.replica + "\n" + m.nonce;
    let r = this.rows.get(key);
    if (!r) {
      r = row(replicaColumns);
      r.host = el("span.what");
      r.trouble = el("p.trouble");
      r.cells[0].append(el("bdi", {}, m.replica), " ", r.host, r.trouble);
      this.rows.set(key, r);
    }
    const p = m.pipeline ?? {}, c = r.cells;
    const troubles = m.answered ? [p.trouble, p.disk_trouble, p.bucket_trouble, m.token?.trouble && "token: " + m.token.trouble].filter(Boolean) : [];
    const bad = !m.answered || !p.nats_connected;
    setAttr(r.node, "data-level", bad || troubles.length ? "warn" : "ok");
    set(r.host, [m.host, m.pid && "pid " + m.pid].filter(Boolean).join(", "));
    r.trouble.hidden = !troubles.length;
    set(r.trouble, "! " + troubles.join(" · "));
    set(c[1], m.answered ? m.phase : m.gone ? "gone" : "unknown");
    set(c[2], count(m.leads));
    set(c[3], count(m.stands_by));
    set(c[4], !m.answered ? "–" : p.nats_connected ? "✓ connected" : "✕ away");
    setAttr(c[4], "title", clean(p.nats_server ?? ""));
    set(c[5], m.answered ? count(p.in_flight) : "–");
    set(c[6], !m.answered ? "–" : p.spool_messages ? `${plural(p.spool_messages, "message")}, ${bytes(p.spool_bytes)} of ${bytes(p.spool_max_bytes)}, oldest ${age(p.spool_age_s)}` : "empty");
    setAttr(c[6], "data-level", p.spool_messages ? "warn" : "none");
    set(c[7], m.version || "–");
    setTime(c[8], ms(m.started), m.started ? agoOf(m.started) : "–");
    setTime(c[9], ms(m.heard), m.answered ? "✓ answers" : m.heard ? "! " + (m.gone ? "last " : "") + agoOf(m.heard) : "! no answer");
  }
}

const consumerColumns = [["consumer", ".name"], ["pending", ".num"], ["unacknowledged", ".num.less"], ["oldest", ".num"], ["redelivered", ".num"], ["note", ""]];

// wrong says what is wrong with a consumer.
function wrong(c) {
  const notes = [];
  if (c.stuck_s) notes.push((c.oldest_unprocessed_seq ? `stuck on message ${c.oldest_unprocessed_seq} for ` : "stuck for ") + brief(c.stuck_s));
  if (c.loses_by === "max_age") notes.push(c.loses_in_s >= 1 ? "loses events in " + brief(c.loses_in_s) : "loses events now");
  else if (c.loses_by) notes.push(`loses events soon (${c.loses_by})`);
  return notes.join(", ");
}

export class Consumers {
  constructor(box) {
    this.body = table(box, "Consumers", consumerColumns);
    this.rows = new Map();
    this.note = el("p.muted", { hidden: "" });
    box.append(this.note);
  }

  update(consumers) {
    const all = [...(consumers?.durable ?? [])].sort((a, b) => !!wrong(b) - !!wrong(a) || (b.oldest_unprocessed_s ?? 0) - (a.oldest_unprocessed_s ?? 0));
    for (const c of all) this.fill(c);
    const present = new Set(all.map((c) => c.consumer));
    for (const name of this.rows.keys()) if (!present.has(name)) this.rows.delete(name);
    arrange(this.body, all.map((c) => this.rows.get(c.consumer).node));
    this.body.parentElement.hidden = !all.length;
    const notes = [consumers?.trouble && "Not known: " + consumers.trouble, consumers?.more && `and ${plural(consumers.more, "more consumer")}`].filter(Boolean);
    this.note.hidden = !notes.length;
    set(this.note, notes.join(" · "));
  }

  fill(consumer) {
    let r = this.rows.get(consumer.consumer);
    if (!r) {
      r = row(consumerColumns);
      r.cells[0].append(el("bdi", {}, consumer.consumer));
      this.rows.set(consumer.consumer, r);
    }
    const c = r.cells, note = wrong(consumer);
    setAttr(r.node, "data-level", note ? "warn" : "ok");
    set(c[1], count(consumer.pending));
    set(c[2], count(consumer.unacknowledged));
    set(c[3], consumer.oldest_unprocessed_seq ? brief(consumer.oldest_unprocessed_s ?? 0) : "–");
    set(c[4], count(consumer.redelivered));
    set(c[5], note ? "! " + note : "–");
    setAttr(c[5], "data-level", note ? "warn" : "none");
  }
}

const eventColumns = [["time", ".time"], ["event", ".event"], ["subscription", ""], ["late by", ".num"], ["sequence", ".num.less"], ["topic", ".long"], ["message id", ".long.id"]];

export class Events {
  constructor(box) {
    this.body = table(box, "Latest events", eventColumns);
    this.rows = new Map();
    this.box = box;
    this.note = el("p.muted", { hidden: "" });
    box.prepend(this.note);
  }

  // update shows events; if they could not be read, those that were read before.
  update(events, failed) {
    this.note.hidden = !failed && events.length > 0;
    this.box.classList.toggle("old", !!failed && events.length > 0);
    set(this.note, !failed ? "No event in the stream yet." : !events.length ? "Not known: " + failed.error
      : `As of ${clock(ms(failed.read))}, ${age(since(failed.read))} old; what came since is not known: ${failed.error}`);
    if (this.shown === events) return;
    this.shown = events;
    const rows = new Map();
    for (const e of events) rows.set(e.seq, this.rows.get(e.seq) ?? this.make(e));
    this.rows = rows;
    arrange(this.body, [...rows.values()]);
  }

  make(e) {
    const { node, cells: c } = row(eventColumns);
    setTime(c[0], ms(e.at), clock(ms(e.at)));
    c[1].append(el("bdi", {}, e.malformed ? "✕ malformed: " + (e.reason || "no reason given") : e.event || e.subject));
    setAttr(c[1], "title", clean(e.subject));
    c[2].append(el("bdi", {}, e.subscription));
    set(c[3], Number.isFinite(e.late_seconds) ? span(e.late_seconds) : "–");
    set(c[4], String(e.seq));
    if (e.topic) c[5].append(el("bdi", {}, e.topic));
    c[6].append(el("bdi", {}, e.id));
    setAttr(c[6], "title", clean(e.id));
    setAttr(node, "data-level", e.malformed ? "warn" : "ok");
    return node;
  }
}
