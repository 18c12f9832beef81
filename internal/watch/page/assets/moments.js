// The one list of what happened, newest first.
import { age, clock, count, el, ms, plural, set, setTime, since } from "./format.js";
import { everything, model } from "./model.js";
import { arrange } from "./table.js";
import { sign, signOf, tell, wordOf } from "./signs.js";
import { runbook } from "./runbook.js";

const first = 12, step = 50;

export class Moments {
  constructor(box, note, button) {
    Object.assign(this, { box, note, button, shown: first, rows: new Map() });
    button.addEventListener("click", () => {
      const next = this.shown;
      this.shown += step;
      this.key = null;
      this.update(this.seconds, this.many);
      const item = box.children[next], link = item?.querySelector("a");
      if (!link && button.hidden) item?.setAttribute("tabindex", "-1"); // or the focus would fall to the page
      (link ?? (button.hidden ? item : button))?.focus();
    });
  }

  update(seconds, many) {
    Object.assign(this, { seconds, many });
    const failed = model.failed.timeline, key = [model.changed, seconds, many, !!failed, failed?.read, this.shown, Math.floor(Date.now() / 30e3)].join();
    if (this.key === key) return;
    this.key = key;
    const all = everything().filter((m) => since(m.until || m.at) < seconds).reverse(), shown = all.slice(0, this.shown);
    const rows = new Map();
    for (const m of shown) {
      const id = JSON.stringify([many, m]);
      rows.set(id, this.rows.get(id) ?? item(m, many));
    }
    this.rows = rows;
    arrange(this.box, [...rows.values()]);
    const rest = all.length - shown.length;
    this.button.hidden = !rest;
    set(this.button, `Show ${count(Math.min(rest, step))} of ${plural(rest, "earlier one")}`);
    set(this.note, !failed ? `Nothing happened in the last ${age(seconds)}.`
      : failed.read ? `What happened since ${clock(ms(failed.read))} is not known.` : (shown.length ? "What else" : "What") + " happened is not known.");
    this.note.hidden = !failed && shown.length > 0;
  }
}

function item(m, many) {
  const time = el("time"), text = tell(m);
  setTime(time, ms(m.at));
  const node = el("li", { "data-kind": signOf(m) }, time, sign(signOf(m)));
  if (many && m.subscription) node.append(el("bdi.of", {}, m.subscription), " ");
  node.append(el("bdi", {}, el("b", {}, wordOf(m)), text ? ": " + text : ""));
  if (m.kind === "alarm" && m.name) node.append(" ", runbook(m.name));
  return node;
}
