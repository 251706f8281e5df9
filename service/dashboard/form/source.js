// The form's source: a checkpoint, or a model that the job trains first.

import { h } from "../dom.js";
import { field } from "./field.js";
import { fieldsOf, readAll, writeAll } from "./fields.js";
import { resolved } from "./schema.js";

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
