// The form's target: sizes under the names that the source's family has for them.

import { fill, h, newId } from "../dom.js";
import { field } from "./field.js";
import { readAll, writeAll } from "./fields.js";
import { pairs } from "./pairs.js";

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
