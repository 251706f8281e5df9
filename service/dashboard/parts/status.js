// A job's status as a word with a colour, and how far it is.

import { h, set, write } from "../dom.js";
import { percent, words } from "../format.js";

export const STATUSES = ["queued", "running", "succeeded", "failed", "cancelled"];

export function ended(job) {
  return !["queued", "running"].includes(job.status);
}

/** Shows a job's status; `update` takes the job as it is later. */
export function badge(job) {
  const element = h("span", { class: "badge" });
  const update = (now) => {
    set(element, "data-status", now.status);
    write(element, now.cancel_requested && !ended(now) ? "Cancelling" : words(now.status));
  };
  update(job);
  return { element, update };
}

/** Where the work stands, as a bar and in words; empty once the job has ended. */
export function standing(job) {
  const bar = h("progress", { max: 1, "aria-label": "Progress of this stage" });
  const text = h("span", { class: "standing-text" });
  const element = h("div", { class: "standing" }, bar, text);
  const update = (now) => {
    bar.hidden = now.status !== "running";
    bar.value = now.progress;
    write(text, standingWords(now));
  };
  update(job);
  return { element, update };
}

/** "Fitting, 40 %". */
export function standingWords(job) {
  if (job.status === "running" && job.kind === "tune") return `${percent(job.progress)} of its trials`;
  if (job.status === "running") return job.stage ? `${words(job.stage)}, ${percent(job.progress)}` : "Starting";
  if (job.status === "queued") return job.queue_position ? `${job.queue_position} ahead in the queue` : "Next in the queue";
  return "";
}
