// What went wrong, in the service's own words, with its hint and what may be done.

import { h } from "../dom.js";

/** A box for an error that has no field of its own. */
export function failure(error) {
  const { hint, code } = error.problem ?? {};
  return h(
    "div",
    { class: "box bad", role: "alert" },
    h("p", {}, h("strong", {}, error.message)),
    hint && h("p", {}, hint),
    code && h("p", { class: "hint" }, h("code", {}, code)),
  );
}
