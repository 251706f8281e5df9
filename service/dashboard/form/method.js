// The form's method, and the options that it has.

import { fill, h, newId } from "../dom.js";
import { fieldsOf, readAll, writeAll } from "./fields.js";

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
