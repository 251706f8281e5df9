// One job: what happens now, what it was asked to do, and what came of it.

import { jobPath, json, offers } from "../api.js";
import { announce, fill, h, write } from "../dom.js";
import { lastPart, words } from "../format.js";
import { attempts } from "../parts/attempts.js";
import { curve } from "../parts/curve.js";
import { eventList } from "../parts/events.js";
import { failure } from "../parts/failure.js";
import { labels, sourceName } from "../parts/job_row.js";
import { operatorPicture } from "../parts/operator.js";
import { planView } from "../parts/plan.js";
import { report } from "../parts/report.js";
import { requestView } from "../parts/request.js";
import { badge, ended, standing, standingWords } from "../parts/status.js";
import { timeline } from "../parts/timeline.js";
import { Story } from "../story.js";
import { follow } from "../stream.js";

export async function showJob({ content, names: [id], signal, title, ready }) {
  let job = await json(jobPath(id), { signal });
  const story = new Story();
  let waiting = false;
  title(lastPart(job.request.output));

  const parts = [
    head(job, replace, signal),
    outcome(),
    timeline(job),
    curve("Training of the source", "pretraining", (now) => now.result?.pretraining, signal),
    curve("Fit", "fit", (now) => now.result?.fit, signal),
    report(),
    operatorPicture(job, signal),
    planView(job.plan),
    attempts(),
    eventList(),
    requestView(job),
  ];
  fill(content, parts.map(({ element }) => element));
  render();
  ready();

  function render() {
    waiting = false;
    for (const part of parts) part.update?.(job, story);
    announce(standingWords(job) ? `${words(job.status)}. ${told(job)}` : words(job.status));
  }

  function renderSoon() {
    if (!waiting) requestAnimationFrame(() => signal.aborted || render());
    waiting = true;
  }

  function replace(now) {
    if (now.version >= job.version) job = now;
    renderSoon();
  }

  async function reload() {
    replace(await json(jobPath(id), { signal }));
    return ended(job);
  }

  try {
    for await (const event of follow(id, reload, signal)) {
      story.add(event);
      if (event.kind === "stage" || event.kind === "progress") job = { ...job, progress: 0, ...event.data };
      if (event.kind === "status" && event.data.status !== job.status) await reload();
      renderSoon();
    }
  } catch (error) {
    if (!signal.aborted) content.append(failure(error));
  }
}

/** The stage, and its progress in quarters, so that a screen reader is not told every percent. */
function told(job) {
  return standingWords({ ...job, progress: Math.floor(4 * job.progress) / 4 });
}

function head(job, replace, signal) {
  const status = badge(job);
  const progress = standing(job);
  const note = h("div", { class: "note" });
  const cancel = h("button", { type: "button", class: "danger" }, "Cancel the job");
  const retry = h("button", { type: "button", class: "primary", hidden: true }, "Try again");
  const again = h("a", { class: "button quiet", href: `#/new?from=${encodeURIComponent(job.id)}` }, "Use as a template");
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
  offers("/jobs/{job_id}/retry").then((found) => {
    retries = found;
    retry.hidden = !(retries && ["failed", "cancelled"].includes(job.status));
  });
  const element = h(
    "div",
    { class: "job-head" },
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Jobs"), " / ", h("code", {}, job.id)),
    h("div", { class: "heading" }, h("h1", { tabindex: -1 }, lastPart(job.request.output)), status.element),
    h("p", { class: "hint" }, `${sourceName(job.request)}, ${job.plan.architecture}, by ${job.request.method.name}`),
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
  return { element, update };
}

/** Why the job failed, or where its result is. */
function outcome() {
  const sentence = h("strong", {});
  const hint = h("p", {});
  const place = h("p", { class: "hint" });
  const element = h("div", { class: "box", hidden: true }, h("p", {}, sentence), hint, place);
  const update = (job) => {
    element.hidden = !(job.error || job.result);
    element.className = job.error ? "box bad" : "box good";
    write(sentence, job.error?.detail ?? (job.result ? `Written to ${job.result.output}` : ""));
    write(hint, job.error?.hint ?? "");
    write(place, job.error ? [job.error.code, job.error.field].filter(Boolean).join(" · ") : "");
  };
  return { element, update };
}
