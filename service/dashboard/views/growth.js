// A growth: its stages, its curves, what came of it, and what it was asked to do.

import { attempts } from "../parts/attempts.js";
import { curve } from "../parts/curve.js";
import { eventList } from "../parts/events.js";
import { head, outcome } from "../parts/head.js";
import { aboutOf, nameOf } from "../parts/names.js";
import { operatorPicture } from "../parts/operator.js";
import { planView } from "../parts/plan.js";
import { report } from "../parts/report.js";
import { requestView } from "../parts/request.js";
import { timeline } from "../parts/timeline.js";

export function growthView(job, replace, signal) {
  return [
    head(job, { name: nameOf(job), about: aboutOf(job) }, replace, signal),
    outcome((result) => `Written to ${result.output}`),
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
}
