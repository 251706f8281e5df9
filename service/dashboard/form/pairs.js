// A field of lines `name=value`, for what has free names: labels, further sizes.

import { field } from "./field.js";

/** As a field; `convert` makes the value of what stands behind `=`. Undefined where there is no line. */
export function pairs(at, { label, description, placeholder, convert = (text) => text }) {
  const made = field(at, { type: "object", description }, { label, placeholder });
  made.input.rows = 2;
  return {
    ...made,
    read() {
      const lines = made.input.value.split("\n").filter((line) => line.trim());
      if (!lines.length) return undefined;
      return Object.fromEntries(lines.map((line) => split(line, convert)));
    },
    write(value) {
      made.input.value = Object.entries(value ?? {}).map(([name, of]) => `${name}=${of}`).join("\n");
    },
  };
}

function split(line, convert) {
  const [name, ...rest] = line.split("=");
  return [name.trim(), convert(rest.join("=").trim())];
}
