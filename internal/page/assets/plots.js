// The two plots of a card: events per second, and lateness on a logarithmic scale.
/* global uPlot */
import { now, rate, span } from "./format.js";

const dark = matchMedia("(prefers-color-scheme: dark)");
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// decades are the lines of the logarithmic scale, five at most.
function decades(_, __, low, high) {
  const from = Math.round(Math.log10(low)), to = Math.round(Math.log10(high)), step = Math.ceil((to - from) / 4);
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, i) => 10 ** (from + i * step));
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
      axes: [{ ...axis, size: 26, values: "{HH}:{mm}", space: 70 }, { ...axis, size: 58, space: 30, splits, values: (_, splits) => splits.map((v) => words(v)) }],
      series: [{ label: title, value: (_, t) => (t === null ? "" : new Date(t * 1000).toTimeString().slice(0, 8)) },
        ...series.map((s) => ({ width: 1.5, points: { show: false }, spanGaps: false, value: (_, v) => (v === null ? "–" : words(v)), ...s }))],
    };
  }

  rate() {
    return this.common("events", { range: (_, low, high) => [0, Math.max(1, (high || 0) * 1.15)] },
      [{ label: "per second", stroke: color("--accent"), fill: color("--accent-weak") }], (v) => rate(v));
  }

  late() {
    return this.common("late by", {
      distr: 3, range: (_, low, high) => [10 ** Math.floor(Math.log10(Math.max(low || 0.01, 1e-3))), 10 ** Math.ceil(Math.log10(Math.max(high || 1, 1e-2) * 1.001))],
    }, [
      { label: "p50", stroke: color("--accent") },
      { label: "p99", stroke: color("--second"), dash: [4, 3] },
    ], span, decades);
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
