// Parts that are folded away until somebody opens them. What is open stays so, also when
// the part is made anew.
import { el } from "./format.js";

const opened = new Set();

export function fold(key, summary, ...children) {
  const node = el("details.fold", {}, el("summary", {}, summary), ...children);
  node.open = opened.has(key);
  node.addEventListener("toggle", () => (node.open ? opened.add(key) : opened.delete(key)));
  return node;
}
