// A chart that follows the width and the colours of the page.

const HEIGHT = 260;
const NARROWEST = 220;

/**
 * Resolves to a function that draws data, uPlot's columns. `optionsOf` makes uPlot's options from a function that gives
 * the page's colours by name; it is asked anew when those change, and when the data come with another `look`.
 */
export async function chart(place, optionsOf, signal) {
  const { default: Plot } = await import("../vendor/uplot/uPlot.esm.js");
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  let data = [];
  let plot = null;
  let drawnLook = null;
  const width = () => Math.max(place.clientWidth, NARROWEST);
  const draw = () => {
    plot?.destroy();
    plot = new Plot({ width: width(), height: HEIGHT, cursor: { y: false }, ...optionsOf(colour) }, data, place);
  };
  const sized = new ResizeObserver(() => plot && plot.width !== width() && plot.setSize({ width: width(), height: HEIGHT }));
  sized.observe(place);
  scheme.addEventListener("change", () => plot && draw(), { signal });
  signal.addEventListener("abort", () => {
    sized.disconnect();
    plot?.destroy();
  });
  return (columns, look = "") => {
    const same = plot && look === drawnLook;
    data = columns;
    drawnLook = look;
    if (same) plot.setData(data);
    else draw();
  };
}

/** An axis in the page's colours. */
export function axis(colourOf, more = {}) {
  const line = { stroke: colourOf("--line"), width: 1 };
  return { stroke: colourOf("--muted"), grid: line, ticks: line, ...more };
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
