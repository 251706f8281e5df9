// The held-out losses of every trial as it trained; the best one stands out.

import { h } from "../dom.js";
import { figure, has } from "../format.js";
import { axis, chart } from "./chart.js";
import { section } from "./section.js";

export function trialCurves(signal) {
  const place = h("div", { class: "curve" });
  const { element } = section("Trials as they trained", h("p", { class: "hint" }, "Held-out loss over steps, in nats per token. The best trial is drawn bold."), place);
  element.hidden = true;
  let shown = [];
  let best = null;
  let drawing = null;

  const update = async (job) => {
    const begun = (job.trials ?? []).filter(({ curve }) => curve.length);
    if (!begun.length) return;
    best = bestOf(begun);
    // The best one last, so that no other is drawn over it.
    shown = begun.sort((one, other) => (one.number === best) - (other.number === best));
    element.hidden = false;
    drawing ??= chart(place, (colour) => options(shown, best, colour), signal);
    (await drawing)(columnsOf(shown), `${shown.length} ${best}`);
  };
  return { element, update };
}

function bestOf(trials) {
  const completed = trials.filter(({ state, held_out_loss: loss }) => state === "completed" && has(loss));
  return completed.reduce((one, other) => (one === null || other.held_out_loss < one.held_out_loss ? other : one), null)?.number;
}

function columnsOf(trials) {
  const steps = [...new Set(trials.flatMap(({ curve }) => curve.map(({ step }) => step)))].sort((one, other) => one - other);
  const losses = trials.map(({ curve }) => {
    const known = new Map(curve.map(({ step, held_out_loss: loss }) => [step, loss]));
    return steps.map((step) => known.get(step) ?? null);
  });
  return [steps, ...losses];
}

function options(trials, best, colour) {
  const value = (_plot, loss) => (has(loss) ? figure(loss) : "–");
  const series = ({ number }) => ({
    label: `Trial ${number}`,
    stroke: colour(number === best ? "--curve-1" : "--curve-2"),
    width: number === best ? 3 : 1.25,
    spanGaps: true,
    points: { show: false },
    value,
  });
  return {
    scales: { x: { time: false } },
    // Hundreds of names would be longer than the plot.
    legend: { show: trials.length <= 8 },
    axes: [axis(colour), axis(colour, { size: 56 })],
    series: [{ label: "Step" }, ...trials.map(series)],
  };
}
