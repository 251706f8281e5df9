// One trial of a search: its point, and how its training goes.

import { h } from "../dom.js";
import { attempts } from "../parts/attempts.js";
import { curve } from "../parts/curve.js";
import { eventList } from "../parts/events.js";
import { head, outcome } from "../parts/head.js";
import { aboutOf, nameOf } from "../parts/names.js";
import { requestView } from "../parts/request.js";
import { figure } from "../format.js";

export function trialView(job, replace, signal) {
  const above = h("a", { href: `#/jobs/${encodeURIComponent(job.search)}` }, "Search");
  return [
    head(job, { name: nameOf(job), about: aboutOf(job), above }, replace, signal),
    outcome(({ held_out_loss: loss, steps, pruned }) =>
      `Held-out loss ${figure(loss)} after ${steps} steps${pruned ? "; ended early, because others were better" : ""}.`),
    curve("Training", "pretraining", (now) => now, signal),
    attempts(),
    eventList(),
    requestView(job),
  ];
}
