// A job's labels; each leads to the jobs that have it.

import { h } from "../dom.js";

export function labels(given) {
  const pairs = Object.entries(given ?? {}).map(([name, value]) => `${name}=${value}`);
  if (!pairs.length) return null;
  const link = (pair) => h("a", { class: "label", href: `#/?${new URLSearchParams({ label: pair })}` }, pair);
  return h("ul", { class: "labels", "aria-label": "Labels" }, pairs.map((pair) => h("li", {}, link(pair))));
}
