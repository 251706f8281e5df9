// What a JSON schema asks for, in the few kinds that a form has inputs for.

/** The schema with references followed, and what only tells of it (description, default) kept. */
export function resolved(schema, components) {
  if (!schema.$ref) return schema;
  const { $ref, ...told } = schema;
  return { ...resolved(components[$ref.split("/").pop()], components), ...told };
}

/** `choice`, `tick`, `integer`, `number`, `text`, `nested` (a name, or an object with one) or `json`. */
export function kindOf(schema, components = {}) {
  const kinds = alternatives(schema, components);
  const types = new Set(kinds.map(({ type }) => type));
  if (kinds.some((kind) => kind.enum)) return "choice";
  if (types.has("boolean")) return "tick";
  if (types.has("integer")) return "integer";
  if (types.has("number")) return "number";
  if (types.has("string")) return types.has("object") ? "nested" : "text";
  return "json";
}

/** The words to choose from. */
export function choicesOf(schema, components = {}) {
  return alternatives(schema, components).flatMap((kind) => kind.enum ?? []);
}

function alternatives(schema, components) {
  return (schema.anyOf ?? schema.oneOf ?? [schema])
    .map((kind) => resolved(kind, components))
    .filter(({ type }) => type !== "null");
}
