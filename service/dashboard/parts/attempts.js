// Who worked on the job, when, and how each attempt ended.

import { fill, h } from "../dom.js";
import { moment, seconds, words } from "../format.js";
import { section, table } from "./section.js";

export function attempts() {
  const body = h("div", {});
  const { element } = section("Attempts", body);
  let before = "";
  const update = (job, story) => {
    element.hidden = !story.attempts.length;
    const rows = story.attempts.map((attempt) => row(attempt, job));
    const signature = JSON.stringify(rows);
    if (signature === before) return;
    before = signature;
    fill(body, table("Attempts", ["Attempt", "Began", "Took", "Last stage", "Ended", "Worker"], rows));
  };
  return { element, update };
}

function row({ number, started, ended, worker, outcome, stages }) {
  const took = started && ended ? seconds((Date.parse(ended) - Date.parse(started)) / 1000) : "";
  return [String(number), started ? moment(started) : "", took, words(stages.at(-1)?.stage ?? "–"), outcome ? words(outcome) : "runs", worker ?? ""];
}
