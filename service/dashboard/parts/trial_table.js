// Every trial of a search: its point, how far it came, and how it ended.

import { fill, h } from "../dom.js";
import { count, figure, has, whole, words } from "../format.js";
import { pointWords } from "./names.js";
import { section, table } from "./section.js";

export function trialTable() {
  const body = h("div", {});
  const { element } = section("Trials", body);
  let before = "";
  const update = ({ trials }) => {
    element.hidden = !trials?.length;
    const signature = JSON.stringify(trials);
    if (element.hidden || signature === before) return;
    before = signature;
    fill(body, table("Trials", ["Trial", "State", "Point", "Loss", "Steps", "FLOPs"], trials.map(row)));
  };
  return { element, update };
}

/** In the words of the pictures above. */
function ended(state) {
  return state === "pruned" ? "Ended early" : words(state);
}

function row({ number, job_id: id, state, point, held_out_loss: loss, steps, flops, error }) {
  return [
    h("a", { href: `#/jobs/${encodeURIComponent(id)}` }, String(number)),
    error ? h("span", { title: error.detail }, ended(state)) : ended(state),
    pointWords(point),
    has(loss) ? figure(loss) : "–",
    whole(steps),
    count(flops),
  ];
}
