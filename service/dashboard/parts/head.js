// The head of a job's page: what it is, how it stands, and what can be done about it.

import { json, jobPath, offers } from "../api.js";
import { fill, h, write } from "../dom.js";
import { failure } from "./failure.js";
import { labels } from "./labels.js";
import { badge, ended, standing } from "./status.js";

/** `replace` takes the job as the service answers with it; growths alone can be tried again and be templates. */
export function head(job, { name, about, above = null }, replace, signal) {
  const growth = (job.kind ?? "grow") === "grow";
  const status = badge(job);
  const progress = standing(job);
  const note = h("div", { class: "note" });
  const cancel = h("button", { type: "button", class: "danger" }, "Cancel the job");
  const retry = h("button", { type: "button", class: "primary", hidden: true }, "Try again");
  const again = growth && h("a", { class: "button quiet", href: `#/new?from=${encodeURIComponent(job.id)}` }, "Use as a template");
  const ask = (button, below, then) => async () => {
    button.disabled = true;
    try {
      then(await json(jobPath(job.id, below), { method: "POST", signal }));
      fill(note);
    } catch (error) {
      if (!signal.aborted) fill(note, failure(error));
    }
    button.disabled = false;
  };
  cancel.addEventListener("click", ask(cancel, "/cancel", replace));
  retry.addEventListener("click", ask(retry, "/retry", ({ id }) => {
    location.hash = `#/jobs/${encodeURIComponent(id)}`;
  }));
  let retries = false;
  const element = h(
    "div",
    { class: "job-head" },
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Jobs"), above && [" / ", above], " / ", h("code", {}, job.id)),
    h("div", { class: "heading" }, h("h1", { tabindex: -1 }, name), status.element),
    h("p", { class: "hint" }, about),
    labels(job.request.labels),
    progress.element,
    h("div", { class: "actions" }, cancel, retry, again),
    note,
  );
  const update = (now) => {
    job = now;
    status.update(now);
    progress.update(now);
    cancel.hidden = ended(now) || now.cancel_requested;
    retry.hidden = !(retries && ["failed", "cancelled"].includes(now.status));
  };
  offers("/jobs/{job_id}/retry").then((found) => {
    retries = found && growth;
    update(job);
  });
  return { element, update };
}

/** Why a job failed, or, in a sentence of the caller's, what it has left behind. */
export function outcome(left) {
  const sentence = h("strong", {});
  const hint = h("p", {});
  const place = h("p", { class: "hint" });
  const element = h("div", { class: "box", hidden: true }, h("p", {}, sentence), hint, place);
  const update = (job) => {
    const { error, result } = job;
    element.hidden = !(error || result);
    element.className = error ? "box bad" : "box good";
    write(sentence, error?.detail ?? (result ? left(result) : ""));
    write(hint, error?.hint ?? "");
    write(place, error ? [error.code, error.field].filter(Boolean).join(" · ") : "");
  };
  return { element, update };
}
