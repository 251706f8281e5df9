// A search's plan: proxy and target side by side, and what the search costs.

import { h } from "../dom.js";
import { count, whole } from "../format.js";
import { sizesTable } from "./plan.js";
import { facts, section } from "./section.js";

export function planOfSearch(plan) {
  const space = Object.entries(plan.search_space).map(([name, values]) => [name.replaceAll("_", " "), valuesWords(values)]);
  return section(
    "Plan",
    sizesTable("Proxy and target", ["Proxy", "Target"], plan.proxy, plan.target),
    facts([
      ["Trials", whole(plan.trials)],
      ["FLOPs of a trial", count(plan.flops_per_trial)],
      ["FLOPs of all, at the most", count(plan.flops)],
    ]),
    h("h3", {}, "Search space"),
    facts(space),
    plan.notes?.length ? h("ul", { class: "notes" }, plan.notes.map((note) => h("li", {}, note))) : null,
  );
}

function valuesWords(values) {
  if (values.powers_of_two) return `2^${values.powers_of_two[0]} to 2^${values.powers_of_two[1]}`;
  if (values.choices) return values.choices.join(", ");
  const how = [values.log && "logarithmic", values.step && `step ${values.step}`].filter(Boolean).join(", ");
  return `${values.low} to ${values.high}${how ? `, ${how}` : ""}`;
}
