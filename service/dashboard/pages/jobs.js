// All jobs, newest first: filters, live progress, and older ones on demand.

import { fixed, json } from "../api.js";
import { fill, h } from "../dom.js";
import { jobRow } from "../parts/job_row.js";
import { ended, STATUSES } from "../parts/status.js";
import { failure } from "../parts/failure.js";
import { pause } from "../stream.js";
import { words } from "../format.js";

const PAGE_SIZE = 30;
const BUSY_SECONDS = 1;
const IDLE_SECONDS = 5;
const KINDS = { grow: "Growths", tune: "Searches" };

export async function showJobs({ content, query, signal, ready }) {
  const rows = new Map();
  const list = h("ul", { class: "jobs", "aria-label": "Jobs" });
  const note = h("div", { class: "note" });
  const more = h("button", { type: "button", class: "quiet", hidden: true }, "Show older jobs");
  const empty = h("p", { class: "empty", hidden: true });
  fill(content, heading(), await filters(query), note, list, empty, more);
  ready();

  const older = { cursor: null, shown: [] };

  async function refresh() {
    const page = await json(`jobs?${search(query)}`, { signal });
    if (!older.shown.length) older.cursor = page.next_cursor ?? null;
    render([...page.jobs, ...older.shown]);
    return page.jobs.some((job) => !ended(job));
  }

  function render(jobs) {
    const found = new Map(jobs.map((job) => [job.id, job]));
    for (const id of rows.keys()) if (!found.has(id)) rows.delete(id);
    for (const job of found.values()) {
      if (rows.has(job.id)) rows.get(job.id).update(job);
      else rows.set(job.id, jobRow(job));
    }
    arrange(list, [...found.keys()].map((id) => rows.get(id).element));
    more.hidden = !older.cursor;
    empty.hidden = found.size > 0;
    empty.textContent = query.size ? "No job is like this." : "No job yet. A first one takes a minute: choose New job above.";
  }

  more.addEventListener("click", async () => {
    try {
      const page = await json(`jobs?${search(query, older.cursor)}`, { signal });
      older.cursor = page.next_cursor ?? null;
      older.shown.push(...page.jobs);
      await refresh();
    } catch (error) {
      if (!signal.aborted) fill(note, failure(error));
    }
  });

  while (!signal.aborted) {
    let busy = true;
    try {
      busy = document.hidden ? false : await refresh();
      fill(note);
    } catch (error) {
      if (signal.aborted) return;
      fill(note, failure(error));
      // Asking again would only open the dialog again.
      if ([401, 403].includes(error.status)) return;
    }
    await pause(busy ? BUSY_SECONDS : IDLE_SECONDS, signal).catch(() => {});
  }
}

function heading() {
  return h("div", { class: "heading" }, h("h1", { tabindex: -1 }, "Jobs"), h("a", { class: "button primary", href: "#/new" }, "New job"));
}

async function filters(query) {
  const [{ methods }, { paths }] = await Promise.all(["methods", "openapi.json"].map(fixed));
  const kinds = (paths["/jobs"].get.parameters ?? []).some(({ name }) => name === "kind");
  const kind = kinds ? choice("kind", "Kind", Object.keys(KINDS), query, (name) => KINDS[name]) : null;
  const status = choice("status", "Status", STATUSES, query, words);
  const method = choice("method", "Method", methods.map(({ name }) => name), query, (name) => name);
  const label = h("input", { id: "filter-label", name: "label", placeholder: "team=nlp", autocomplete: "off", value: query.getAll("label").join(", ") });
  const form = h(
    "form",
    { class: "filters", "aria-label": "Filters", role: "search" },
    kind,
    status,
    method,
    h("div", { class: "field" }, h("label", { for: "filter-label" }, "Label"), label),
  );
  const apply = () => {
    const wanted = new URLSearchParams();
    for (const { name, value } of form.querySelectorAll("select")) if (value) wanted.set(name, value);
    for (const pair of label.value.split(",")) if (pair.trim()) wanted.append("label", pair.trim());
    location.hash = wanted.size ? `#/?${wanted}` : "#/";
  };
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  return form;
}

function choice(name, title, values, query, said) {
  const chosen = query.get(name);
  const options = ["", ...values].map((value) =>
    h("option", { value, selected: value === (chosen ?? "") }, value ? said(value) : "Any"),
  );
  const id = `filter-${name}`;
  return h("div", { class: "field" }, h("label", { for: id }, title), h("select", { id, name }, options));
}

function search(query, cursor) {
  const wanted = new URLSearchParams(query);
  wanted.set("limit", PAGE_SIZE);
  if (cursor) wanted.set("cursor", cursor);
  return wanted;
}

/** Brings the children into this order, and moves none that is in its place: a moved element loses the focus. */
function arrange(list, elements) {
  const kept = new Set(elements);
  for (const child of [...list.children]) if (!kept.has(child)) child.remove();
  elements.forEach((element, place) => {
    if (list.children[place] !== element) list.insertBefore(element, list.children[place] ?? null);
  });
}
