// The time axis that a strip and the plots below it share. It begins at the first moment
// that is known of, and ends now.
import { ms, now } from "./format.js";
import { history, moments } from "./model.js";

// How far from the sides of a drawing it begins and ends, in pixels.
export const left = 58, right = 12;
const shortest = 60e3;

export function axis(lines, seconds) {
  const to = now(), known = lines.reduce((first, line) => Math.min(first, firstKnown(line)), Infinity);
  return { from: Math.min(Math.max(to - seconds * 1000, known), to - shortest), to };
}

function firstKnown(line) {
  const times = [ms(line.state_since), ms(line.since), ms(moments(line.subscription)[0]?.at), history(line.subscription).t[0] * 1000];
  return Math.min(...times.filter((t) => t > 0));
}

// place returns the place of a time, in a drawing so wide.
export function place({ from, to }, begin, end) {
  return (t) => begin + (Math.min(Math.max(t, from), to) - from) / (to - from) * (end - begin);
}

const steps = [60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600].map((s) => s * 1000);

// ticks are round local times on an axis so wide.
export function ticks({ from, to }, width) {
  const step = steps.find((s) => (to - from) / s <= width / 75) ?? steps.at(-1);
  const shift = new Date(to).getTimezoneOffset() * 60e3, all = [];
  for (let t = Math.ceil((from - shift) / step) * step + shift; t < to; t += step) all.push(t);
  return all;
}

// labelled is whether there is room for the time below a tick.
export const labelled = ({ from, to }, t, width) => Math.min(t - from, to - t) / (to - from) * width > 16;

export function hourOf(t) {
  const time = new Date(t);
  return String(time.getHours()).padStart(2, "0") + ":" + String(time.getMinutes()).padStart(2, "0");
}
