// Shows a refusal at the field that it points to, or above the form where there is none.

import { fill, h } from "../dom.js";
import { failure } from "../parts/failure.js";

/** `useSizes` takes the nearest sizes that work, where the service names some. */
export function show(error, fields, note, useSizes) {
  const { field: pointer, hint, nearest } = error.problem ?? {};
  const found = pointer ? blamed(fields, pointer) : null;
  if (!found?.element) {
    fill(note, failure(error));
    note.firstElementChild.scrollIntoView({ block: "nearest" });
    return;
  }
  const take = nearest && h("button", { type: "button", on: { click: () => useSizes(nearest) } }, `Use ${sizes(nearest)}`);
  found.complain(error.message, hint && h("span", {}, " ", hint), take && h("span", { class: "actions" }, take));
}

/** The field with this pointer, or the one that it lies within; of several the nearest. */
function blamed(fields, pointer) {
  const around = fields.filter(({ at, input }) => !input.disabled && (pointer === at || pointer.startsWith(`${at}/`)));
  return around.sort((one, other) => other.at.length - one.at.length)[0] ?? fields.find(({ at, input }) => !input.disabled && at.startsWith(`${pointer}/`));
}

function sizes(nearest) {
  return Object.entries(nearest).map(([name, size]) => `${name} ${size}`).join(", ");
}
