// Elements and words. Text reaches the page as text only, never as markup.

// What would reorder or hide text is replaced: a meeting's topic is anybody's.
const tricks = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;
const longest = 240;

export function clean(value) {
  const text = String(value ?? "").replace(tricks, "\ufffd");
  return text.length > longest ? text.slice(0, longest) + "…" : text;
}

// visible is a text of any length, with its line breaks.
export const visible = (value) => String(value ?? "").replace(tricks, (c) => (c === "\n" || c === "\t" ? c : "\ufffd"));

// el makes an element: el("td.num", {title: "…"}, "text", child).
export function el(what, attributes, ...children) {
  const [tag, ...classes] = what.split(".");
  const node = document.createElement(tag);
  if (classes.length) node.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  for (const child of children) node.append(child instanceof Node ? child : clean(child));
  return node;
}

export function svg(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes ?? {})) node.setAttribute(name, value);
  for (const child of children) node.append(child instanceof Node ? child : clean(child));
  return node;
}

// set changes a text only if it is another one: what is selected or read aloud stays.
export function set(node, value) {
  const text = clean(value);
  if (node.textContent !== text) node.textContent = text;
  return node;
}

export function setAttr(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Ages go by the server's clock, which the messages tell.
let skew = 0;
export const setClock = (at) => { skew = Date.now() - at; };
export const now = () => Date.now() - skew;
export const ms = (time) => (time ? Date.parse(time) : NaN);

const two = (n) => String(n).padStart(2, "0");

// clock is the local time, with the date if it is not today's.
export function clock(t, seconds = true) {
  if (!(t > 0)) return "–";
  const d = new Date(t), today = new Date(now());
  const time = two(d.getHours()) + ":" + two(d.getMinutes()) + (seconds ? ":" + two(d.getSeconds()) : "");
  if (d.toDateString() === today.toDateString()) return time;
  return d.getFullYear() + "-" + two(d.getMonth() + 1) + "-" + two(d.getDate()) + " " + time;
}

export const utc = (t) => (t > 0 ? new Date(t).toISOString() : "");

export function setTime(node, t, text) {
  set(node, text ?? clock(t));
  setAttr(node, "title", utc(t));
}

// span words a duration in seconds.
export function span(s) {
  if (!Number.isFinite(s)) return "–";
  const sign = s < 0 ? "−" : "";
  s = Math.abs(s);
  if (s === 0) return "0 ms";
  if (s < 0.01) return sign + +(s * 1000).toFixed(1) + " ms";
  if (s < 0.9995) return sign + Math.round(s * 1000) + " ms";
  if (s < 9.95) return sign + +s.toFixed(1) + " s";
  if (s < 59.5) return sign + Math.round(s) + " s";
  return sign + long(Math.round(s));
}

// age words how long ago something was, in whole seconds or minutes.
export const age = (s) => (!Number.isFinite(s) ? "–" : s < 60 ? Math.max(0, Math.floor(s)) + " s" : long(Math.floor(s < 300 || s >= 3600 ? s : s - s % 60)));

// brief is age to one unit.
export const brief = (s) => age(s).split(" ").slice(0, 2).join(" ");

function long(s) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const i = parts.findIndex(([size]) => s >= size);
  const [big, bigName] = parts[i], [small, smallName] = parts[i + 1] ?? [];
  const rest = small ? Math.floor((s % big) / small) : 0;
  return Math.floor(s / big) + " " + bigName + (rest ? " " + rest + " " + smallName : "");
}

export const since = (time) => (now() - ms(time)) / 1000;
export const agoOf = (time) => (time ? age(since(time)) + " ago" : "–");
export const count = (n) => (n ?? 0).toLocaleString("en-US").replaceAll(",", "\u202f");
export const rate = (r) => (!Number.isFinite(r) ? "–" : (r === 0 ? "0" : r < 0.095 ? +r.toFixed(2) : r < 99.5 ? +r.toFixed(1) : count(Math.round(r))) + "/s");
export const plural = (n, one, many = one + "s") => count(n) + " " + (n === 1 ? one : many);

export function bytes(n) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  for (n = n ?? 0; n >= 1024 && i < units.length - 1; i++) n /= 1024;
  return +n.toFixed(n < 10 && i ? 1 : 0) + " " + units[i];
}
