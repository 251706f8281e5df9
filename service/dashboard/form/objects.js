// Further parts of the form, each behind a heading that opens.

import { h } from "../dom.js";
import { field } from "./field.js";
import { fieldsOf, readAll, writeAll } from "./fields.js";
import { pairs } from "./pairs.js";

/** All of one object of the request, under a heading that opens; the request has it once `first` is filled in. */
export function objectGroup(title, name, schema, components, first) {
  const fields = fieldsOf(`/${name}`, schema, components);
  const element = h("details", {}, h("summary", {}, title), h("div", { class: "grid" }, fields.map((one) => one.element)));
  return {
    element,
    fields: () => fields,
    open: (wanted) => {
      element.open = wanted || element.open;
    },
    read(into) {
      const given = readAll(fields);
      if (first in given) into[name] = given;
    },
    write(request) {
      writeAll(fields, request[name] ?? {});
      element.open = Boolean(request[name]);
    },
  };
}

/** What is left of the request, field by field. */
export function restGroup(request, components, taken) {
  const labels = pairs("/labels", { label: h("code", {}, "labels"), description: "To find the job by, one a line.", placeholder: "team=nlp" });
  const names = Object.keys(request.properties).filter((name) => !taken.includes(name) && name !== "labels");
  const fields = [...names.map((name) => field(`/${name}`, request.properties[name], { components })), labels];
  return {
    element: h("details", {}, h("summary", {}, "More: dtype, seed, labels"), h("div", { class: "grid" }, fields.map(({ element }) => element))),
    fields: () => fields,
    read(into) {
      Object.assign(into, readAll(fields));
    },
    write(given) {
      writeAll(fields, given);
    },
  };
}
