// Who reads the stream, and how far behind: folded away, and summed up in a line.
import { brief, count, el, plural, set, setAttr } from "./format.js";
import { arrange, row, table } from "./table.js";

const columns = [["consumer", ".name"], ["pending", ".num"], ["unacknowledged", ".num.less"], ["oldest", ".num"], ["redelivered", ".num"], ["note", ""]];

// wrong says what is wrong with a consumer.
function wrong(c) {
  const notes = [];
  if (c.stuck_s) notes.push((c.oldest_unprocessed_seq ? `stuck on message ${c.oldest_unprocessed_seq} for ` : "stuck for ") + brief(c.stuck_s));
  if (c.loses_by === "max_age") notes.push(c.loses_in_s >= 1 ? "loses events in " + brief(c.loses_in_s) : "loses events now");
  else if (c.loses_by) notes.push(`loses events soon (${c.loses_by})`);
  return notes.join(", ");
}

export class Consumers {
  constructor(box, said) {
    this.body = table(box, "Consumers", columns);
    this.said = said;
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
    this.sumUp(all, consumers);
  }

  sumUp(all, consumers) {
    const bad = all.filter(wrong);
    const parts = [plural(all.length + (consumers?.more ?? 0), "consumer")].concat(bad.slice(0, 2).map((c) => `${c.consumer} ${wrong(c)}`))
      .concat(bad.length > 2 ? [`${bad.length - 2} more in trouble`] : []).concat(consumers?.trouble ? ["not known: " + consumers.trouble] : []);
    if (!bad.length && all.length) parts.push(all.some((c) => c.oldest_unprocessed_seq) ? `the oldest unprocessed event is ${brief(all[0].oldest_unprocessed_s ?? 0)} old` : "all is processed");
    set(this.said, (bad.length ? "! " : "") + parts.join(" · "));
    setAttr(this.said, "data-level", bad.length ? "warn" : "ok");
  }

  fill(consumer) {
    let r = this.rows.get(consumer.consumer);
    if (!r) {
      r = row(columns);
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
