// One job in the list: what grows, how far it is, and the labels to find others by.

import { h, set, write } from "../dom.js";
import { ago, count, lastPart, moment } from "../format.js";
import { badge, standing } from "./status.js";

/** A row; `update` changes what has changed and leaves the rest, the focus with it, alone. */
export function jobRow(job) {
  const status = badge(job);
  const progress = standing(job);
  const reason = h("p", { class: "reason" });
  const when = h("time", {});
  const element = h(
    "li",
    { class: "job" },
    h(
      "div",
      { class: "job-what" },
      h("a", { href: `#/jobs/${encodeURIComponent(job.id)}`, class: "job-name" }, lastPart(job.request.output)),
      h("p", { class: "hint" }, `${sourceName(job.request)} · ${job.request.method.name} · `, growth(job.plan)),
      labels(job.request.labels),
    ),
    h("div", { class: "job-state" }, status.element, progress.element, reason),
    h("p", { class: "job-when" }, when),
  );
  const update = (now) => {
    status.update(now);
    progress.update(now);
    write(reason, now.error?.detail ?? "");
    write(when, ago(now.finished_at ?? now.started_at ?? now.created_at));
    set(when, "datetime", now.created_at);
    set(when, "title", `Submitted ${moment(now.created_at)}`);
  };
  update(job);
  return { element, update };
}

/** "1.2 M → 4.7 M parameters", as one phrase for screen readers. */
export function growth(plan) {
  const [from, to] = [count(plan.source.parameters), count(plan.target.parameters)];
  return h("span", {}, from, h("span", { class: "unseen" }, " to "), h("span", { "aria-hidden": "true" }, " → "), to, " parameters");
}

export function sourceName(request) {
  return typeof request.source === "string" ? lastPart(request.source) : `untrained ${request.source.config.model_type ?? "model"}`;
}

/** Each label leads to the jobs that have it. */
export function labels(given) {
  const pairs = Object.entries(given ?? {});
  if (!pairs.length) return null;
  const link = (pair) => h("a", { class: "label", href: `#/?${new URLSearchParams({ label: pair })}` }, pair);
  return h("ul", { class: "labels", "aria-label": "Labels" }, pairs.map(([name, value]) => h("li", {}, link(`${name}=${value}`))));
}
