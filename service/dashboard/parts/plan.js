// A plan: the source's and the target's sizes side by side, what it takes, and what is worth knowing.

import { h } from "../dom.js";
import { bytes, count, whole } from "../format.js";
import { facts, section, table } from "./section.js";
import { candidates } from "./candidates.js";

/** The whole section, for a job's page. */
export function planView(plan) {
  return section("Plan", ...planParts(plan));
}

/** What stands in it, for wherever a plan is shown. */
export function planParts(plan) {
  return [
    h("p", { class: "lead" }, preserves(plan)),
    sizesTable("Source and target", ["Source", "Target"], plan.source, plan.target),
    facts([
      ["Family", `${plan.model_type}, ${plan.architecture}`],
      ["Written as", `${plan.dtype}, ${whole(plan.tensors)} tensors in ${plan.shards === 1 ? "one shard" : `${plan.shards} shards`}`],
      ["Largest tensor", bytes(plan.largest_tensor_bytes)],
      ["Memory, at the most", bytes(plan.peak_memory_bytes)],
    ]),
    facts([["Method", methodWords(plan.method)]]),
    plan.notes?.length ? h("ul", { class: "notes" }, plan.notes.map((note) => h("li", {}, note))) : null,
    plan.selection ? candidates(plan.selection) : null,
  ];
}

function preserves(plan) {
  return plan.function_preserving
    ? "Preserves the function: the grown model computes what the source computes."
    : "Changes the function: the grown model starts near the source, not at it.";
}

/** Two models side by side, and how much larger the second is. */
export function sizesTable(caption, heads, from, to) {
  const names = [...new Set([...Object.keys(from.sizes), ...Object.keys(to.sizes)])];
  return table(caption, ["", ...heads, "Ratio"], [
    ...names.map((name) => row(h("code", {}, name), from.sizes[name], to.sizes[name], whole)),
    row("Parameters", from.parameters, to.parameters, count),
    row("Weights", from.weight_bytes, to.weight_bytes, bytes),
    row("FLOPs per token, forward", from.flops_per_token, to.flops_per_token, count),
  ]);
}

function row(name, from, to, said) {
  const shown = (value) => (value === undefined ? "–" : said(value));
  const grows = from && to && from !== to;
  return [name, shown(from), grows ? h("strong", {}, shown(to)) : shown(to), grows ? `× ${Number((to / from).toPrecision(3))}` : ""];
}

/** "ligo (steps 100, init pad)". */
export function methodWords({ name, ...options }) {
  const given = Object.entries(options).filter(([, value]) => value !== null);
  if (!given.length) return name;
  const said = (value) => (typeof value === "object" ? methodWords(value) : String(value));
  return `${name} (${given.map(([option, value]) => `${option.replaceAll("_", " ")} ${said(value)}`).join(", ")})`;
}
