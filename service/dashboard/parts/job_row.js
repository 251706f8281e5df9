// One job in the list: what it does, how far it is, and the labels to find others by.

import { h, set, write } from "../dom.js";
import { ago, moment } from "../format.js";
import { labels } from "./labels.js";
import { aboutOf, nameOf } from "./names.js";
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
      h("a", { href: `#/jobs/${encodeURIComponent(job.id)}`, class: "job-name" }, nameOf(job)),
      h("p", { class: "hint" }, aboutOf(job)),
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
