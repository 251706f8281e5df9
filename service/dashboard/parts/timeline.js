// The stages of the present attempt, in order, with how long each took or how far it is.

import { fixed } from "../api.js";
import { fill, h } from "../dom.js";
import { percent, seconds, words } from "../format.js";
import { section } from "./section.js";
import { ended } from "./status.js";

const ORDER = ["planning", "pretraining", "selecting", "fitting", "expanding", "verifying", "committing"];

export function timeline(job) {
  const list = h("ol", { class: "timeline" });
  const { element } = section("Stages", list);
  let fits = false;
  fixed("methods").then(({ methods }) => {
    fits = methods.find(({ name }) => name === job.plan.method.name)?.fits && !job.plan.method.operator;
  });
  let before = "";

  const update = (now, story) => {
    const seen = story.attempts.at(-1)?.stages ?? [];
    const times = now.result?.stage_seconds ?? {};
    const names = ORDER.filter((stage) => stage in times || seen.some((one) => one.stage === stage) || expected(stage, now, fits));
    const items = names.map((stage) => ({ stage, ...state(stage, now, seen, times) }));
    const signature = JSON.stringify(items);
    if (signature === before) return;
    before = signature;
    fill(list, items.map(item));
  };
  return { element, update };
}

function expected(stage, job, fits) {
  if (ended(job)) return false;
  const when = {
    pretraining: typeof job.request.source !== "string",
    selecting: job.request.method.name === "auto" && Boolean(job.request.data),
    fitting: fits,
    verifying: job.request.verify,
  };
  return when[stage] ?? true;
}

function state(stage, job, seen, times) {
  if (stage in times) return { done: true, time: seconds(times[stage]) };
  const place = seen.findIndex((one) => one.stage === stage);
  const now = job.status === "running" && job.stage === stage;
  if (now) return { now: true, time: percent(job.progress) };
  if (place < 0) return { time: "" };
  const next = seen[place + 1]?.at ?? job.finished_at;
  const stopped = ended(job) && job.status !== "succeeded" && place === seen.length - 1;
  return { done: !stopped, stopped, time: next ? seconds((Date.parse(next) - Date.parse(seen[place].at)) / 1000) : "" };
}

function item({ stage, done, now, stopped, time }) {
  const word = stopped ? "ended here" : now ? "now" : done ? "done" : "to come";
  return h(
    "li",
    { "data-state": word.replaceAll(" ", "-"), "aria-current": now && "step" },
    h("span", { class: "stage-name" }, words(stage)),
    h("span", { class: "stage-time" }, time || (done ? "" : word)),
    h("span", { class: "unseen" }, `, ${word}`),
  );
}
