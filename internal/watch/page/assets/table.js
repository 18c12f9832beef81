// A table that is filled again and again.
import { el } from "./format.js";

// table makes a table with one body. On a phone its rows become blocks, which
// would cost it its meaning for a screen reader: so the roles are spelled out.
export function table(box, caption, columns) {
  const body = el("tbody", { role: "rowgroup" });
  box.replaceChildren(el("table.data", { role: "table" }, el("caption.unseen", {}, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, ...columns.map(([title, kind]) => el("th" + kind, { scope: "col", role: "columnheader" }, title)))), body));
  return body;
}

export function row(columns) {
  const cells = columns.map(([title, kind]) => el("td" + kind, { role: "cell", "data-title": title }));
  return { node: el("tr", { role: "row" }, ...cells), cells };
}

// arrange puts nodes in order, moving only those that are not in place.
export function arrange(box, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...box.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, i) => { if (box.children[i] !== node) box.insertBefore(node, box.children[i] ?? null); });
}
