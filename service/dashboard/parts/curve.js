// A live curve of losses: of a fit, or of the training of a source.

import { h, write } from "../dom.js";
import { figure, has } from "../format.js";
import { axis, chart } from "./chart.js";
import { section } from "./section.js";

export function curve(title, kind, reportOf, signal) {
  const place = h("div", { class: "curve" });
  const summary = h("p", { class: "hint" });
  const { element } = section(title, summary, place);
  element.hidden = true;
  let drawing = null;
  let drawn = 0;

  const update = async (job, story) => {
    const points = story.points(kind, reportOf(job));
    if (!points.length || points.length === drawn) return;
    drawn = points.length;
    element.hidden = false;
    write(summary, summaryOf(points));
    drawing ??= chart(place, options, signal);
    const column = (name) => points.map((point) => point[name] ?? null);
    (await drawing)([column("step"), column("loss"), column("held_out_loss")]);
  };
  return { element, update };
}

function summaryOf(points) {
  const measured = points.filter((point) => has(point.held_out_loss));
  const [first, last] = [measured[0], measured.at(-1)];
  if (!first) return `${points.at(-1).step} steps so far.`;
  if (first === last) return `Held-out loss ${figure(first.held_out_loss)} at step ${first.step}, in nats per token.`;
  return `Held-out loss from ${figure(first.held_out_loss)} at step ${first.step} to ${figure(last.held_out_loss)} at step ${last.step}, in nats per token.`;
}

function options(colour) {
  const value = (_plot, loss) => (has(loss) ? figure(loss) : "–");
  const points = { show: true, size: 6, fill: colour("--surface") };
  return {
    scales: { x: { time: false } },
    axes: [axis(colour), axis(colour, { size: 56 })],
    series: [
      { label: "Step" },
      { label: "Batch", stroke: colour("--curve-2"), width: 1.5, points: { show: false }, value },
      { label: "Held out", stroke: colour("--curve-1"), width: 2.5, spanGaps: true, points, value },
    ],
  };
}
