// The subscriptions in short, if there are many.
import { agoOf, brief, clean, count, el, ms, rate, set, setAttr, setTime, since, span, svg } from "./format.js";
import { health, moments, partial } from "./model.js";
import { arrange, row, table } from "./table.js";
import { axis } from "./axis.js";
import { late } from "./hops.js";
import { drawShort } from "./strip.js";

const columns = [["subscription", ".name"], ["state", ".state"], ["leader", ""], ["standbys", ".long.less"], ["events", ".num"], ["late p50", ".num.less"], ["late p99", ".num"],
  ["in flight", ".num.less"], ["last event", ".num.less"], ["last 15 min", ".strip-cell.less"]];

export class Lines {
  constructor(box, onOpen) {
    this.body = table(box, "Subscriptions", columns);
    this.heading = box.querySelector("thead th:last-child");
    this.rows = new Map();
    this.onOpen = onOpen;
  }

  update(lines, opened, seconds) {
    set(this.heading, seconds > 3600 ? "last 24 h" : "last 15 min");
    // Measured once: a width that is read between changes costs a layout each time.
    this.wide = this.body.querySelector(".strip")?.clientWidth || 136;
    this.axis = axis(lines, seconds);
    lines.forEach((line, i) => this.fill(line, i, opened.has(line.subscription), seconds));
    const present = new Set(lines.map((l) => l.subscription));
    for (const name of this.rows.keys()) if (!present.has(name)) this.rows.delete(name);
    arrange(this.body, lines.map((l) => this.rows.get(l.subscription).node));
  }

  focus(name) { this.rows.get(name)?.button.focus(); }

  fill(line, i, open, seconds) {
    let r = this.rows.get(line.subscription);
    if (!r) {
      r = row(columns);
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
    setAttr(c[3], "title", clean(c[3].textContent));
    set(c[4], told(rate(line.events_per_second)));
    set(c[5], some ? span(line.late.p50) : "–");
    set(c[6], some ? span(line.late.p99) : "–");
    setAttr(c[6], "data-level", late(line) ? "warn" : "none");
    set(c[7], told(count(line.in_flight)));
    setTime(c[8], ms(line.last_event), agoOf(line.last_event));
    // Drawing is what costs most: a strip moves little in ten seconds, and not all are drawn at once.
    const key = [Math.floor(Date.now() / 10e3 + i / 20), seconds, line.answered, line.state, line.leader, this.wide].join();
    if (r.drawn !== key) drawShort(r.strip, moments(line.subscription), line, this.axis, this.wide);
    r.drawn = key;
  }
}
