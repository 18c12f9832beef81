// The strip of a card and its two plots, one below the other on one time axis.
import { el, svg } from "./format.js";
import { history, moments } from "./model.js";
import { Plots } from "./plots.js";
import { axis } from "./axis.js";
import { drawStrip } from "./strip.js";

// reading is where a series says its latest and its highest value.
function reading(name, key) {
  const latest = el("dd"), highest = el("dd");
  const pair = (word, value) => el("div", {}, el("dt", {}, word), value);
  const node = el("dl.reading", {}, ...(name ? [el("dt.series" + key, {}, name)] : []), pair("latest", latest), pair("highest", highest));
  return { node, latest, highest };
}

export class Charts {
  constructor(windowOf) {
    this.windowOf = windowOf;
    this.strip = svg("svg", { class: "strip", role: "img" });
    const boxes = [el("div.plot", { role: "img" }), el("div.plot", { role: "img" })];
    const values = [reading("", ""), reading("p50", ".k-p50"), reading("p99", ".k-p99")];
    const hover = el("p.hover", { "aria-hidden": "true" });
    this.plots = new Plots(boxes, values, hover);
    this.node = el("div.charts", {}, 
      el("h4", {}, "Connection"), this.strip,
      el("h4", {}, "Events received ", el("span.unit", {}, "per second"), hover), boxes[0], el("div.readings", {}, values[0].node),
      el("h4", {}, "Lateness ", el("span.unit", {}, "from event to storage, ms to days, logarithmic")), boxes[1], el("div.readings", {}, values[1].node, values[2].node));
  }

  draw(line) {
    const shared = axis([line], this.windowOf());
    drawStrip(this.strip, moments(line.subscription), line, shared, this.wide());
    this.plots.update(history(line.subscription), shared);
  }

  wide() { return this.strip.clientWidth || 600; }

  destroy() { this.plots.destroy(); }
}
