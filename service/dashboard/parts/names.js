// What a job is called, and what it does in a line; growths, searches and their trials are jobs alike.

import { h } from "../dom.js";
import { count, figure, lastPart } from "../format.js";

const KINDS = {
  grow: {
    name: ({ request }) => lastPart(request.output),
    about: ({ request, plan }) => [`${sourceName(request)} · ${request.method.name} · `, parameters(plan.source, plan.target)],
  },
  tune: {
    name: ({ request, plan }) => `Search for ${typeof request.target === "string" ? lastPart(request.target) : plan.model_type}`,
    about: ({ plan }) => [`${plan.trials} trials on a proxy · `, parameters(plan.proxy, plan.target)],
  },
  trial: {
    name: ({ number }) => `Trial ${number}`,
    about: ({ point }) => [pointWords(point)],
  },
};

export function nameOf(job) {
  return KINDS[job.kind ?? "grow"].name(job);
}

/** Children of an element. */
export function aboutOf(job) {
  return KINDS[job.kind ?? "grow"].about(job);
}

/** "learning rate 0.00391, weight decay 0.1". */
export function pointWords(point) {
  return Object.entries(point).map(([name, value]) => `${name.replaceAll("_", " ")} ${figure(value)}`).join(", ");
}

/** A dotted name that may be broken behind its dots and underscores: children of an element. */
export function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part) => [part, h("wbr", {})]);
}

function sourceName({ source }) {
  return typeof source === "string" ? lastPart(source) : `untrained ${source.config.model_type ?? "model"}`;
}

/** "1.2 M → 4.7 M parameters", as one phrase for screen readers. */
function parameters(from, to) {
  const arrow = [h("span", { class: "unseen" }, " to "), h("span", { "aria-hidden": "true" }, " → ")];
  return h("span", {}, count(from.parameters), arrow, count(to.parameters), " parameters");
}
