// The form's parts, built from what the service tells of requests, methods and families.

import { fill, h, newId } from "../dom.js";
import { field } from "./field.js";
import { pairs } from "./pairs.js";
import { resolved } from "./schema.js";

/** A part of the request: its fields, and how it reads from and writes to a whole request. */
export function sourceGroup(request, components) {
  const untrained = resolved({ $ref: "Untrained" }, components);
  const uri = field("/source", request.properties.source.oneOf[0], { label: "Checkpoint", required: true, wide: true, placeholder: "s3://models/small" });
  const config = field("/source/config", { type: "object", description: untrained.properties.config.description }, { label: "config.json", wide: true, required: true });
  const tokenizer = field("/source/tokenizer", untrained.properties.tokenizer, { label: "Tokenizer", wide: true });
  const pretrain = fieldsOf("/source/pretrain", resolved({ $ref: "Pretraining" }, components), components);
  const trainedFirst = h("div", { class: "grid", hidden: true }, [config, tokenizer, ...pretrain].map(({ element }) => element));
  const choice = radios("source-kind", "Source", { checkpoint: "A checkpoint", untrained: "One that the job trains first" }, (kind) => {
    uri.element.hidden = uri.input.disabled = kind !== "checkpoint";
    trainedFirst.hidden = kind !== "untrained";
    for (const { input } of [config, tokenizer, ...pretrain]) input.disabled = kind !== "untrained";
  });
  return {
    element: h("div", {}, choice.element, uri.element, trainedFirst),
    fields: () => [uri, config, tokenizer, ...pretrain],
    read(into) {
      into.source = choice.value() === "checkpoint" ? uri.read() : { config: config.read(), tokenizer: tokenizer.read(), pretrain: readAll(pretrain) };
    },
    write({ source }) {
      choice.choose(typeof source === "string" ? "checkpoint" : "untrained");
      if (typeof source === "string") uri.write(source);
      else for (const one of [config, tokenizer]) one.write(source[one.at.split("/").pop()]);
      writeAll(pretrain, source.pretrain ?? {});
    },
  };
}

export function targetGroup(families) {
  const id = newId("family");
  const select = h("select", { id }, families.map(({ model_type: name }) => h("option", { value: name, selected: name === "llama" }, name)));
  const sizes = h("div", { class: "grid" });
  const exact = h("p", { class: "hint" });
  const further = pairs("/target", { label: "Further sizes", description: "One a line, such as num_local_experts=4.", placeholder: "name=size", convert: (text) => (/^\d+$/.test(text) ? Number(text) : text) });
  let fields = [];
  const choose = () => {
    const family = families.find(({ model_type: name }) => name === select.value);
    const kept = readAll(fields);
    fields = Object.values(family.keys).map((key) => field(`/target/${key}`, { type: "integer" }, { placeholder: "derived" }));
    writeAll(fields, kept);
    fill(sizes, fields.map(({ element }) => element), further.element);
    exact.textContent = exactWords(family);
  };
  select.addEventListener("change", choose);
  choose();
  return {
    element: h("div", {}, h("div", { class: "field" }, h("label", { for: id }, "Family"), select, exact), sizes),
    fields: () => [...fields, further],
    read(into) {
      into.target = { ...readAll(fields), ...further.read() };
    },
    write({ target }, plan) {
      if (families.some(({ model_type: name }) => name === plan?.model_type)) select.value = plan.model_type;
      choose();
      const named = new Set(fields.map(({ at }) => at.split("/").pop()));
      writeAll(fields, target);
      further.write(Object.fromEntries(Object.entries(target).filter(([name]) => !named.has(name))));
    },
  };
}

function exactWords({ exact, keys }) {
  const width = exact.hidden_size === "any" ? `${keys.hidden_size} to any larger size` : `${keys.hidden_size} to whole multiples`;
  const depth = exact.num_hidden_layers ? `, ${keys.num_hidden_layers} to any larger number` : "; added layers change it";
  return `Can keep the function: ${width}${depth}. What is left out is derived.`;
}

export function methodGroup(methods, onChange) {
  const id = newId("method");
  const select = h("select", { id }, methods.map(({ name }) => h("option", { value: name, selected: name === "hypercloning" }, name)));
  const summary = h("p", { class: "hint" });
  const options = h("div", {});
  const names = h("datalist", { id: `${id}-names` }, methods.map(({ name }) => h("option", { value: name })));
  let fields = [];
  const chosen = () => methods.find(({ name }) => name === select.value);
  const choose = () => {
    const method = chosen();
    fields = fieldsOf("/method", method.options, {}, `${id}-names`);
    summary.textContent = [method.summary, method.paper === "none" ? "" : `Source: ${method.paper}.`].filter(Boolean).join(" ");
    const title = fields.length === 1 ? "1 option" : `${fields.length} options`;
    fill(options, fields.length ? h("details", {}, h("summary", {}, title), h("div", { class: "grid" }, fields.map(({ element }) => element))) : null);
    onChange(method);
  };
  select.addEventListener("change", choose);
  const named = { at: "/method", input: select, complain: () => {}, clear: () => {}, element: select };
  return {
    element: h("div", {}, h("div", { class: "field" }, h("label", { for: id }, "Method"), select, summary), options, names),
    fields: () => [...fields, named],
    start: choose,
    read(into) {
      const given = readAll(fields);
      into.method = Object.keys(given).length ? { name: select.value, ...given } : select.value;
    },
    write({ method }) {
      select.value = method.name;
      choose();
      writeAll(fields, method);
    },
  };
}

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

function fieldsOf(at, schema, components, list) {
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

function readAll(fields) {
  const given = fields.map((one) => [one.at.split("/").pop(), one.read()]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

function writeAll(fields, values) {
  for (const one of fields) one.write(values[one.at.split("/").pop()]);
}

function radios(name, title, kinds, onChange) {
  const inputs = Object.keys(kinds).map((kind, place) => h("input", { type: "radio", name, value: kind, checked: place === 0 }));
  const labels = inputs.map((input) => h("label", {}, input, kinds[input.value]));
  const value = () => inputs.find(({ checked }) => checked).value;
  const choose = (kind) => {
    for (const input of inputs) input.checked = input.value === kind;
    onChange(kind);
  };
  for (const input of inputs) input.addEventListener("change", () => onChange(value()));
  onChange(inputs[0].value);
  return { element: h("fieldset", {}, h("legend", { class: "unseen" }, title), h("div", { class: "choice" }, labels)), value, choose };
}
