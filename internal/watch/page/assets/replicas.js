// The replicas: folded away, and summed up in a line.
import { age, agoOf, bytes, clean, count, el, ms, plural, set, setAttr, setTime, since } from "./format.js";
import { arrange, row, table } from "./table.js";

const columns = [["replica", ".name"], ["phase", ""], ["leads", ".num"], ["stands by", ".num"], ["NATS", ""], ["in flight", ".num"], ["spool", ""],
  ["version", ""], ["started", ""], ["heard", ""]];

const keyOf = (m) => m.replica + "\n" + m.nonce;

// troubles are what a replica says is wrong with it.
function troubles(m) {
  const p = m.pipeline ?? {};
  return m.answered ? [p.trouble, p.disk_trouble, p.bucket_trouble, m.token?.trouble && "token: " + m.token.trouble].filter(Boolean) : [];
}

const away = (m) => m.answered && !m.pipeline?.nats_connected;

export class Replicas {
  constructor(box, said) {
    this.body = table(box, "Replicas", columns);
    this.said = said;
    this.rows = new Map();
  }

  update(members) {
    for (const m of members) this.fill(m);
    const present = new Set(members.map(keyOf));
    for (const key of this.rows.keys()) if (!present.has(key)) this.rows.delete(key);
    arrange(this.body, members.map((m) => this.rows.get(keyOf(m)).node));
    this.sumUp(members);
  }

  sumUp(members) {
    const silent = members.filter((m) => !m.answered), wrong = members.filter((m) => troubles(m).length || away(m));
    const parts = [`${members.length - silent.length} of ${count(members.length)} answer`]
      .concat(silent.slice(0, 2).map((m) => `${m.replica} is ${m.gone ? "gone" : "silent"}`))
      .concat(silent.length > 2 ? [`${silent.length - 2} more are silent`] : [])
      .concat(wrong.slice(0, 2).map((m) => `${m.replica}: ${troubles(m)[0] ?? "NATS is away"}`));
    set(this.said, (silent.length || wrong.length ? "! " : "") + parts.join(" · "));
    setAttr(this.said, "data-level", silent.length || wrong.length ? "warn" : "ok");
  }

  fill(m) {
    const key = keyOf(m);
    let r = this.rows.get(key);
    if (!r) {
      r = row(columns);
      r.host = el("span.what");
      r.trouble = el("p.trouble");
      r.cells[0].append(el("bdi", {}, m.replica), " ", r.host, r.trouble);
      this.rows.set(key, r);
    }
    const p = m.pipeline ?? {}, c = r.cells, wrong = troubles(m);
    setAttr(r.node, "data-level", !m.answered || away(m) || wrong.length ? "warn" : "ok");
    set(r.host, [m.host, m.pid && "pid " + m.pid].filter(Boolean).join(", "));
    r.trouble.hidden = !wrong.length;
    set(r.trouble, "! " + wrong.join(" · "));
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
