// A search of hyper-parameters: its trials as plots and as a table, and what the best of them means for the target.

import { eventList } from "../parts/events.js";
import { head, outcome } from "../parts/head.js";
import { aboutOf, nameOf } from "../parts/names.js";
import { requestView } from "../parts/request.js";
import { found } from "../parts/found.js";
import { planOfSearch } from "../parts/search_plan.js";
import { trialCurves } from "../parts/trial_curves.js";
import { trialPoints } from "../parts/trial_points.js";
import { trialTable } from "../parts/trial_table.js";
import { figure } from "../format.js";

export function searchView(job, replace, signal) {
  return [
    head(job, { name: nameOf(job), about: aboutOf(job) }, replace, signal),
    outcome(({ best }) => `Trial ${best.number} was best: held-out loss ${figure(best.held_out_loss)}.`),
    trialPoints(job, signal),
    trialCurves(signal),
    found(),
    trialTable(),
    planOfSearch(job.plan),
    eventList(),
    requestView(job),
  ];
}
