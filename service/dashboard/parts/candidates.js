// How `auto` picked a method: every candidate, its loss where one was measured, and why the others were not taken.

import { h } from "../dom.js";
import { figure, has } from "../format.js";
import { table } from "./section.js";

export function candidates({ label, reason, candidates: found }) {
  const said = ({ label: name, refusal, open, held_out_loss: loss }) => [
    name === label ? h("strong", {}, name) : name,
    has(loss) ? figure(loss) : "–",
    name === label ? "picked" : refusal || (open ? "" : "not by the rule"),
  ];
  return h(
    "div",
    { class: "selection" },
    h("h3", {}, "Choice of the method"),
    h("p", {}, reason),
    table("Candidates", ["Method", "Held-out loss", ""], found.map(said)),
  );
}
