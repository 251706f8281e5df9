// A live curve of losses: of a fit, or of the training of a source.

import { h, write } from "../dom.js";
import { figure, has } from "../format.js";
import { section } from "./section.js";

const HEIGHT = 260;
const NARROWEST = 220;

export function curve(title, kind, reportOf, signal) {
  const place = h("div", { class: "curve" });
  const summary = h("p", { class: "hint" });
  const { element } = section(title, summary, place);
  element.hidden = true;
  let chart = null;
  let drawn = 0;

  const update = async (job, story) => {
    const points = story.points(kind, reportOf(job));
    if (!points.length || points.length === drawn) return;
    drawn = points.length;
    element.hidden = false;
    write(summary, summaryOf(points));
    chart ??= lineChart(place, signal);
    (await chart)(points);
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

/** Resolves to a function that draws points; the chart follows the width and the colours of the page. */
async function lineChart(place, signal) {
  const { default: Plot } = await import("../vendor/uplot/uPlot.esm.js");
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let data = [[], [], []];
  let plot = null;
  const width = () => Math.max(place.clientWidth, NARROWEST);
  const draw = () => {
    plot?.destroy();
    plot = new Plot(options(width()), data, place);
  };
  const sized = new ResizeObserver(() => plot && plot.width !== width() && plot.setSize({ width: width(), height: HEIGHT }));
  sized.observe(place);
  scheme.addEventListener("change", draw, { signal });
  signal.addEventListener("abort", () => {
    sized.disconnect();
    plot?.destroy();
  });
  return (points) => {
    const column = (name) => points.map((point) => (has(point[name]) ? point[name] : null));
    data = [points.map((point) => point.step), column("loss"), column("held_out_loss")];
    if (plot) plot.setData(data);
    else draw();
  };
}

function options(width) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const said = (_, value) => (has(value) ? figure(value) : "–");
  const axis = { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false } },
    legend: { live: true },
    cursor: { y: false },
    axes: [{ ...axis }, { ...axis, size: 56 }],
    series: [
      { label: "Step" },
      { label: "Batch", stroke: colour("--curve-2"), width: 1.5, points: { show: false }, value: said },
      { label: "Held out", stroke: colour("--curve-1"), width: 2.5, spanGaps: true, points: { show: true, size: 6, fill: colour("--surface") }, value: said },
    ],
  };
}
