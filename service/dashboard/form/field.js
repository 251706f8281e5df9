// One input for one value of the request, with its label, its hint and what is wrong with it.

import { fill, h, newId, prose, set } from "../dom.js";
import { choicesOf, kindOf } from "./schema.js";

const INPUT_MODES = { integer: "numeric", number: "decimal" };

/**
 * A field for the value at the JSON pointer `at`. `read` gives undefined for what was left out or is the default
 * anyway; what is no number or no JSON is given as it was typed, for the service to refuse with its own words.
 */
export function field(at, schema, { label, required = false, wide = false, components = {}, list, placeholder } = {}) {
  const id = newId("field");
  const kind = kindOf(schema, components);
  const input = inputFor(kind, schema, components);
  const hint = h("p", { class: "hint", id: `${id}-hint` }, prose(schema.description ?? ""));
  const complaint = h("p", { class: "complaint", id: `${id}-complaint` });
  const name = label ?? h("code", {}, at.split("/").pop());
  const caption = h("label", { for: id }, name, required && h("span", { class: "hint" }, " required"));
  const given = { id, required, list, autocomplete: "off", spellcheck: "false" };
  for (const [attribute, value] of Object.entries(given)) set(input, attribute, value);
  set(input, "aria-describedby", `${id}-hint ${id}-complaint`);
  if (placeholder) set(input, "placeholder", placeholder);
  const control = kind === "tick" ? [h("div", { class: "tick" }, h("label", { for: id }, input, name))] : [caption, input];

  return {
    at,
    input,
    element: h("div", { class: wide ? "field wide" : "field" }, control, complaint, schema.description && hint),
    read() {
      const value = reading[kind](input, schema);
      return value === schema.default ? undefined : value;
    },
    write(value) {
      const shown = value ?? (kind === "tick" || kind === "choice" ? schema.default : undefined);
      if (kind === "tick") input.checked = Boolean(shown);
      else input.value = typeof shown === "object" ? JSON.stringify(shown, null, kind === "json" ? 2 : 0) : (shown ?? "");
    },
    complain(...sentences) {
      set(input, "aria-invalid", "true");
      fill(complaint, sentences);
      for (let around = input.closest("details"); around; around = around.parentElement.closest("details")) around.open = true;
      input.focus();
    },
    clear() {
      set(input, "aria-invalid", null);
      fill(complaint);
    },
  };
}

function inputFor(kind, schema, components) {
  if (kind === "tick") return h("input", { type: "checkbox", checked: schema.default === true });
  if (kind === "json") return h("textarea", { rows: 6 });
  if (kind === "choice") {
    const choices = choicesOf(schema, components);
    const unset = schema.default === undefined || schema.default === null ? ["", ...choices] : choices;
    return h("select", {}, unset.map((value) => h("option", { value, selected: value === (schema.default ?? "") }, value || "as it is")));
  }
  const said = schema.default === null || schema.default === undefined ? "" : JSON.stringify(schema.default);
  return h("input", { type: "text", inputmode: INPUT_MODES[kind], placeholder: said.replaceAll('"', "") });
}

const reading = {
  tick: (input) => input.checked,
  choice: (input) => input.value || undefined,
  text: (input) => input.value.trim() || undefined,
  integer: (input) => number(input.value.trim(), Number.isSafeInteger),
  number: (input) => number(input.value.trim(), Number.isFinite),
  nested: (input) => (input.value.trim().startsWith("{") ? parsed(input.value) : input.value.trim() || undefined),
  json: (input) => (input.value.trim() ? parsed(input.value) : undefined),
};

function number(text, fits) {
  if (!text) return undefined;
  const value = Number(text.replaceAll(/[_ ]/g, ""));
  return fits(value) ? value : text;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
