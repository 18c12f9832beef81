// The two plots of a card: events per second, and lateness on a logarithmic scale.
/* global uPlot */
import { now, rate, span } from "./format.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// steps are the durations, in seconds, that the logarithmic scale begins, ends and has
// its lines at.
const steps = [1e-3, 1e-2, 0.1, 1, 10, 60, 900, 3600, 21600, 86400, 864e3, 864e4, 864e5];

// reach is the scale's range: from the step below the data to the one above.
function reach(_, low, high) {
  const last = steps.length - 1, top = steps.findIndex((s) => s >= (high || 1));
  const from = Math.min(Math.max(0, steps.findLastIndex((s) => s <= (low || 0.01))), last - 1);
  return [steps[from], steps[Math.max(top < 0 ? last : top, from + 1)]];
}

// lines are both ends and the steps between that are far enough from each other.
function lines(plot, _, low, high) {
  const apart = Math.log10(high / low) * 20 / (plot.bbox.height / devicePixelRatio); // 20 pixels
  const far = (a, b) => Math.log10(b / a) >= apart, kept = [low];
  for (const s of steps) if (s < high && far(kept.at(-1), s) && far(s, high)) kept.push(s);
  return [...kept, high];
}

export class Plots {
  constructor(rateBox, lateBox, windowOf) {
    this.boxes = [rateBox, lateBox];
    this.windowOf = windowOf;
    this.data = [[[], []], [[], [], []]];
    this.build = () => this.make();
    dark.addEventListener("change", this.build);
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(rateBox);
  }

  // make builds the plots anew: their colours are fixed when they are made.
  make() {
    this.plots?.forEach((p) => p.destroy());
    this.wide = this.boxes[0].clientWidth;
    if (!this.wide) { this.plots = null; return; }
    this.plots = this.boxes.map((box, i) => new uPlot(i ? this.late() : this.rate(), this.data[i], box));
  }

  resize() {
    if (!this.plots || !this.wide) return this.make();
    if (this.wide === this.boxes[0].clientWidth) return;
    this.wide = this.boxes[0].clientWidth;
    this.plots.forEach((p) => p.setSize({ width: this.wide, height: p.height }));
  }

  common(title, scale, series, words, splits) {
    const axis = { stroke: color("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.wide, height: 136, pxAlign: false,
      padding: [8, 18, 0, 0],
      legend: { live: true, markers: { width: 2 } },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true, range: () => [now() / 1000 - this.windowOf(), now() / 1000] }, y: scale },
      axes: [{ ...axis, size: 26, values: "{HH}:{mm}", space: 70 }, { ...axis, size: 58, space: 30, splits, filter: splits && ((_, all) => all), values: (_, splits) => splits.map((v) => words(v)) }],
      series: [{ label: title, value: (_, t) => (t === null ? "" : new Date(t * 1000).toTimeString().slice(0, 8)) },
        ...series.map((s) => ({ width: 1.5, points: { show: false }, spanGaps: false, value: (_, v) => (v === null ? "–" : words(v)), ...s }))],
    };
  }

  rate() {
    return this.common("events", { range: (_, low, high) => [0, Math.max(1, (high || 0) * 1.15)] },
      [{ label: "per second", stroke: color("--accent"), fill: color("--accent-weak") }], (v) => rate(v));
  }

  late() {
    return this.common("late by", { distr: 3, range: reach }, [
      { label: "p50", stroke: color("--accent") },
      { label: "p99", stroke: color("--second"), dash: [4, 3] },
    ], span, lines);
  }

  update(h) {
    this.data = [[h.t, h.rate], [h.t, h.p50, h.p99]];
    if (!this.plots) this.make();
    this.plots?.forEach((p, i) => p.setData(this.data[i]));
  }

  destroy() {
    dark.removeEventListener("change", this.build);
    this.resizer.disconnect();
    this.plots?.forEach((p) => p.destroy());
  }
}
