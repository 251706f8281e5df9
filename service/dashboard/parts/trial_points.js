// The held-out loss of each trial over one hyper-parameter, the learning rate first.

import { h, newId, write } from "../dom.js";
import { figure, has } from "../format.js";
import { axis, chart } from "./chart.js";
import { section } from "./section.js";

const SPREAD = 20;
const STATES = ["completed", "pruned", "running"];

export function trialPoints(job, signal) {
  const names = Object.keys(job.plan.search_space).sort((one, other) => (other === "learning_rate") - (one === "learning_rate"));
  const id = newId("axis");
  const select = h("select", { id }, names.map((name) => h("option", { value: name }, name.replaceAll("_", " "))));
  const place = h("div", { class: "curve" });
  const summary = h("p", { class: "hint" });
  const { element } = section("Loss over hyper-parameters", h("div", { class: "field over" }, h("label", { for: id }, "Over"), select), summary, place);
  element.hidden = true;
  let trials = [];
  let drawing = null;
  let drawnOver = null;
  let generation = 0;

  const draw = async () => {
    const shown = trials.filter(({ held_out_loss: loss }) => has(loss));
    if (!shown.length) return;
    element.hidden = false;
    write(summary, summaryOf(shown, select.value));
    if (drawnOver !== select.value) {
      drawnOver = select.value;
      place.replaceChildren();
      drawing = chart(place, (colour) => options(colour, select.value, boundsOf(job.plan.search_space[select.value])), signal);
    }
    generation += 1;
    const mine = generation;
    const put = await drawing;
    if (mine === generation) put(columnsOf(shown, drawnOver));
  };
  select.addEventListener("change", draw);
  return {
    element,
    update(now) {
      trials = now.trials ?? [];
      draw();
    },
  };
}

function columnsOf(trials, name) {
  const sorted = [...trials].sort((one, other) => one.point[name] - other.point[name]);
  const kind = ({ state }) => (STATES.includes(state) ? state : "pruned");
  const losses = STATES.map((state) => sorted.map((trial) => (kind(trial) === state ? trial.held_out_loss : null)));
  return [sorted.map(({ point }) => point[name]), ...losses];
}

function summaryOf(trials, name) {
  const best = trials.reduce((one, other) => (other.held_out_loss < one.held_out_loss ? other : one));
  return `Lowest so far ${figure(best.held_out_loss)}, at ${name.replaceAll("_", " ")} ${figure(best.point[name])}, in trial ${best.number}.`;
}

/** The smallest and the largest value that a trial may have. */
function boundsOf({ powers_of_two: powers, choices, low, high }) {
  if (powers) return powers.map((power) => 2 ** power);
  return choices ? [Math.min(...choices), Math.max(...choices)] : [low, high];
}

function options(colour, name, [low, high]) {
  const logarithmic = low > 0 && high / low > SPREAD;
  const value = (_plot, loss) => (has(loss) ? figure(loss) : "–");
  const series = (label, stroke) => ({ label, stroke, paths: () => null, points: { show: true, size: 9, stroke, fill: stroke }, value });
  const label = name.replaceAll("_", " ");
  const room = (high - low) / 20 || Math.abs(high) / 20 || 1;
  const range = logarithmic ? [low / 1.3, high * 1.3] : [low - room, high + room];
  const ticks = (_plot, values) => values.map((tick) => (has(tick) ? figure(tick) : ""));
  return {
    scales: { x: { time: false, distr: logarithmic ? 3 : 1, range } },
    axes: [axis(colour, { label, values: ticks }), axis(colour, { size: 56 })],
    series: [
      { label, value },
      series("Completed", colour("--curve-1")),
      series("Ended early", colour("--curve-2")),
      series("Running", colour("--curve-3")),
    ],
  };
}
