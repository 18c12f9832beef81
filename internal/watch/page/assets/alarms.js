// The raised alarms, each with the way to its chapter of the runbook.
import { age, clock, el, ms, plural, set, setTime, since } from "./format.js";
import { arrange } from "./table.js";
import { runbook } from "./runbook.js";

const few = 4; // so many are shown; the others are folded away

export class Alarms {
  constructor(box, more) {
    Object.assign(this, { box, more, rows: new Map() });
  }

  update(raised) {
    const rows = new Map();
    for (const a of raised) {
      const key = JSON.stringify([a.alarm, a.subscription, a.replica, a.since]);
      const node = this.rows.get(key) ?? el("li", {}, el("bdi"), " ", el("time"), " ", runbook(a.alarm));
      set(node.children[0], `▲ ${a.alarm}: ${a.subscription || "replica " + a.replica}${a.detail ? " – " + a.detail : ""}`);
      setTime(node.children[1], ms(a.since), `since ${clock(ms(a.since))}, ${age(since(a.since))}`);
      rows.set(key, node);
    }
    this.rows = rows;
    const nodes = [...rows.values()];
    arrange(this.box, nodes.slice(0, few));
    arrange(this.more.lastElementChild, nodes.slice(few));
    this.more.hidden = nodes.length <= few;
    set(this.more.firstElementChild, plural(Math.max(nodes.length - few, 0), "more alarm"));
  }
}
