// The fields of one object of the request, read and written together.

import { field } from "./field.js";
import { resolved } from "./schema.js";

/** A field for each property of a schema; `list` names suggestions for those that take a name or an object. */
export function fieldsOf(at, schema, components, list) {
  const required = schema.required ?? [];
  return Object.entries(schema.properties).map(([name, property]) =>
    field(`${at}/${name}`, resolved(property, components), {
      components,
      // A request without data is whole; what data needs is for the service to say.
      required: required.includes(name) && at !== "/data",
      list: (property.anyOf ?? []).some(({ type }) => type === "object") ? list : undefined,
    }),
  );
}

/** What was given, by name. */
export function readAll(fields) {
  const given = fields.map((one) => [one.at.split("/").pop(), one.read()]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

export function writeAll(fields, values) {
  for (const one of fields) one.write(values[one.at.split("/").pop()]);
}
