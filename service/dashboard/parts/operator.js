// What the operator looks like: a heat map of each width map, and of the matrix that mixes layers.

import { json, jobPath } from "../api.js";
import { fill, h } from "../dom.js";
import { figure } from "../format.js";
import { breakable } from "./names.js";
import { section } from "./section.js";

const LEVELS = 127;
const MAPS = {
  expand: "where tensors produce it",
  contract: "where tensors read it",
  seen: "as readers see it",
  gain: "norms' gains",
};

export function operatorPicture(job, signal) {
  const body = h("div", {});
  const { element } = section("Operator", body);
  element.hidden = true;
  let asked = false;

  const update = async (now) => {
    if (asked || !now.result?.picture) return;
    asked = true;
    try {
      const found = await json(jobPath(job.id, "/operator"), { signal });
      if (found.pictures.length) show(found);
    } catch (error) {
      // A picture that is gone is no news: the output may have been moved since.
      if (!signal.aborted) asked = error.status === 404;
    }
  };

  function show({ pictures, left_out: leftOut }) {
    element.hidden = false;
    const of = (part) => pictures.filter((picture) => picture.part === part);
    fill(
      body,
      h("p", { class: "hint" }, "Rows are the target's units, columns the source's. Each cell shows the largest entry of its block."),
      legend(),
      group("Width", of("width"), signal),
      group("Depth", of("depth"), signal),
      leftOut ? h("p", { class: "hint" }, `${leftOut} more are in the operator's file.`) : null,
    );
  }
  return { element, update };
}

function legend() {
  return h(
    "p",
    { class: "legend", "aria-hidden": "true" },
    "– peak ",
    h("span", { class: "ramp" }),
    " + peak",
  );
}

function group(title, pictures, signal) {
  if (!pictures.length) return null;
  return h("div", {}, h("h3", {}, title), h("ul", { class: "pictures" }, pictures.map((picture) => h("li", {}, heatMap(picture, signal)))));
}

function heatMap(picture, signal) {
  const [rows, columns] = picture.grid;
  const [target, source] = picture.shape;
  const name = picture.part === "width" ? picture.key : layersName(picture.key);
  const details = `${target} × ${source}, peak ${figure(picture.peak)}`;
  const canvas = h("canvas", { width: columns, height: rows, role: "img", "aria-label": `Heat map of ${name}: ${details}` });
  const levels = Int8Array.from(atob(picture.cells), (character) => character.charCodeAt(0));
  // Square cells, and the longer side as long as there is room.
  canvas.style.width = `${(100 * columns) / Math.max(rows, columns)}%`;
  paint(canvas, levels);
  const read = h("span", { class: "read" });
  canvas.addEventListener("pointermove", (event) => {
    const [row, column] = [cell(event.offsetY, canvas.clientHeight, rows), cell(event.offsetX, canvas.clientWidth, columns)];
    const value = (levels[row * columns + column] / LEVELS) * picture.peak;
    read.textContent = `target ${block(row, rows, target)}, source ${block(column, columns, source)}: ${figure(value)}`;
  });
  canvas.addEventListener("pointerleave", () => {
    read.textContent = "";
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(canvas, levels), { signal });
  const caption = h("figcaption", {}, h("code", {}, breakable(name)), h("span", {}, picture.maps.map((map) => `${map}: ${MAPS[map] ?? ""}`).join("; ")), h("small", {}, details), read);
  return h("figure", {}, canvas, caption);
}

function layersName(key) {
  return { "*": "all layers' tensors", "*writes": "tensors that write to the residual stream", next_depth: "new rows" }[key] ?? key;
}

function cell(offset, length, cells) {
  return Math.min(cells - 1, Math.max(0, Math.floor((offset / length) * cells)));
}

/** The units behind one cell: a number, or a range. */
function block(place, cells, size) {
  const [first, end] = [Math.floor((size * place) / cells), Math.floor((size * (place + 1)) / cells)];
  return end - first > 1 ? `${first}–${end - 1}` : String(first);
}

function paint(canvas, levels) {
  const style = getComputedStyle(document.documentElement);
  const [negative, none, positive] = ["--heat-low", "--heat-none", "--heat-high"].map((name) => rgb(style.getPropertyValue(name)));
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  levels.forEach((level, place) => {
    // The root lifts small entries out of the background, beside a peak that is many times larger.
    const share = Math.sqrt(Math.abs(level) / LEVELS);
    const end = level < 0 ? negative : positive;
    none.forEach((from, channel) => {
      image.data[4 * place + channel] = from + share * (end[channel] - from);
    });
    image.data[4 * place + 3] = 255;
  });
  context.putImageData(image, 0, 0);
}

/** "#rrggbb" as three numbers. */
function rgb(text) {
  return [1, 3, 5].map((start) => parseInt(text.trim().slice(start, start + 2), 16));
}
