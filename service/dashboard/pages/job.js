// One job, kept as its record and its events are: what each kind of job shows is in `views/`.

import { json, jobPath } from "../api.js";
import { announce, fill } from "../dom.js";
import { words } from "../format.js";
import { failure } from "../parts/failure.js";
import { nameOf } from "../parts/names.js";
import { ended, standingWords } from "../parts/status.js";
import { Story } from "../story.js";
import { follow } from "../stream.js";
import { growthView } from "../views/growth.js";
import { searchView } from "../views/search.js";
import { trialView } from "../views/trial.js";

const VIEWS = { grow: growthView, tune: searchView, trial: trialView };
const RELOAD_MS = 1000;

export async function showJob({ content, names: [id], signal, title, ready }) {
  let job = await json(jobPath(id), { signal });
  let waiting = false;
  let reloading = null;
  const story = new Story();
  title(nameOf(job));
  const parts = VIEWS[job.kind ?? "grow"](job, replace, signal);
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

  /** For what happens often and is told by the record alone: at most once a second. */
  function reloadSoon() {
    reloading ??= setTimeout(() => {
      reloading = null;
      if (!signal.aborted) reload().catch(() => {});
    }, RELOAD_MS);
  }

  function take(event) {
    story.add(event);
    if (event.kind === "stage" || event.kind === "progress") job = { ...job, progress: 0, ...event.data };
    if (event.kind === "trial") reloadSoon();
    renderSoon();
  }

  try {
    for await (const event of follow(id, reload, signal)) {
      take(event);
      if (event.kind === "status" && event.data.status !== job.status) await reload();
    }
  } catch (error) {
    if (!signal.aborted) content.append(failure(error));
  }
}

/** The stage, and its progress in quarters, so that a screen reader is not told every percent. */
function told(job) {
  return standingWords({ ...job, progress: Math.floor(4 * job.progress) / 4 });
}
