// A part of a page under a heading of its own.

import { h, newId } from "../dom.js";

export function section(title, ...children) {
  const id = newId("section");
  const heading = h("h2", { id }, title);
  return { element: h("section", { "aria-labelledby": id }, heading, ...children), heading };
}

/** A list of names and values; pairs without a value are left out. */
export function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h("dl", { class: "facts" }, shown.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A table in a box that scrolls by itself, by keyboard too, so that the page never does sideways. */
export function table(caption, head, rows) {
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "unseen" }, caption),
      h("thead", {}, h("tr", {}, head.map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell))))),
    ),
  );
}
