// The two plots of a card: events per second, and lateness on a logarithmic scale.
/* global uPlot */
import { clock, now, rate, set, setAttr, span } from "./format.js";
import { hourOf, labelled, left, right, ticks } from "./axis.js";

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

const tall = 112, labels = 22; // pixels: a plot, and the times below the last one

// Plots draws into two boxes. Each of values is where a series says its latest and its
// highest value; hover is where both plots say what is under the pointer.
export class Plots {
  constructor(boxes, values, hover) {
    Object.assign(this, { boxes, values, hover, data: [[[], []], [[], [], []]], axis: { from: now() - 9e5, to: now() } });
    this.build = () => this.make();
    dark.addEventListener("change", this.build);
    this.resizer = new ResizeObserver(() => this.resize());
    this.resizer.observe(boxes[0]);
    this.sync = uPlot.sync(Symbol());
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

  common(last, scale, series, words, splits) {
    const axis = { stroke: color("--muted"), font: "11px system-ui, sans-serif", grid: { stroke: color("--line"), width: 1 }, ticks: { show: false } };
    return {
      width: this.wide, height: tall + (last ? labels : 0), pxAlign: false,
      padding: [8, right, last ? 0 : 4, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { size: 6 }, y: false, sync: { key: this.sync.key } },
      hooks: { setCursor: [(plot) => this.point(plot)] },
      scales: { x: { time: true, range: () => [this.axis.from / 1000, this.axis.to / 1000] }, y: scale },
      axes: [
        { ...axis, size: last ? labels : 0, splits: () => ticks(this.axis, this.wide - left - right).map((t) => t / 1000), values: (_, all) => all.map((t) => (last && labelled(this.axis, t * 1000, this.wide - left - right) ? hourOf(t * 1000) : "")) },
        { ...axis, size: left, space: 30, splits, filter: splits && ((_, all) => all), values: (_, splits) => splits.map((v) => words(v)) },
      ],
      series: [{}, ...series.map((s) => ({ width: 1.5, points: { show: false }, spanGaps: false, ...s }))],
    };
  }

  rate() {
    return this.common(false, { range: (_, low, high) => [0, Math.max(1, (high || 0) * 1.15)] },
      [{ stroke: color("--accent"), fill: color("--accent-weak") }], (v) => rate(v));
  }

  late() {
    return this.common(true, { distr: 3, range: reach }, [
      { stroke: color("--accent") },
      { stroke: color("--second"), dash: [4, 3] },
    ], span, lines);
  }

  update(h, axis) {
    this.data = [[h.t, h.rate], [h.t, h.p50, h.p99]];
    this.axis = axis;
    if (!this.plots) this.make();
    this.plots?.forEach((p, i) => p.setData(this.data[i]));
    this.sumUp(h);
  }

  // sumUp says what one would look for with the pointer, and to who sees no picture.
  sumUp(h) {
    const said = [["rate", rate], ["p50", span], ["p99", span]].map(([row, words]) => outline(h.t, h[row], this.axis, words));
    this.values.forEach((box, i) => {
      set(box.latest, said[i].latest);
      set(box.highest, said[i].highest);
    });
    const words = (i) => `latest ${said[i].latest}, highest ${said[i].highest}`;
    setAttr(this.boxes[0], "aria-label", "Plot of events per second: " + words(0));
    setAttr(this.boxes[1], "aria-label", `Plot of lateness: p50 ${words(1)}; p99 ${words(2)}`);
  }

  point(plot) {
    const i = plot.cursor.idx;
    const at = (list, words) => (list[i] === null || list[i] === undefined ? "–" : words(list[i]));
    const [[t, rates], [, p50, p99]] = this.data;
    set(this.hover, i === null || i === undefined || !t[i] ? "" : `${clock(t[i] * 1000)}: ${at(rates, rate)}, p50 ${at(p50, span)}, p99 ${at(p99, span)}`);
  }

  destroy() {
    dark.removeEventListener("change", this.build);
    this.resizer.disconnect();
    this.plots?.forEach((p) => p.destroy());
  }
}

const quiet = 30e3; // a latest value that is older has its time beside it

// outline is the latest and the highest value on the axis, in words.
function outline(times, list, { from, to }, words) {
  let latest = -1, highest = -1;
  for (let i = 0; i < times.length; i++) {
    if (list[i] === null || times[i] * 1000 < from) continue;
    latest = i;
    if (highest < 0 || list[i] >= list[highest]) highest = i;
  }
  if (latest < 0) return { latest: "–", highest: "–" };
  const value = (i, timed) => words(list[i]) + (timed ? " at " + clock(times[i] * 1000) : "");
  return { latest: value(latest, to - times[latest] * 1000 > quiet), highest: value(highest, true) };
}
