// A form for a job: what it will do is shown before it is submitted.

import { fixed, json, jobPath } from "../api.js";
import { fill, h } from "../dom.js";
import { field } from "../form/field.js";
import { methodGroup } from "../form/method.js";
import { objectGroup, restGroup } from "../form/objects.js";
import { show } from "../form/problems.js";
import { resolved } from "../form/schema.js";
import { sourceGroup } from "../form/source.js";
import { targetGroup } from "../form/target.js";
import { planParts } from "../parts/plan.js";
import { section } from "../parts/section.js";

export async function showNew({ content, query, signal, ready }) {
  const [api, { methods }, { architectures }] = await Promise.all(["openapi.json", "methods", "architectures"].map(fixed));
  const components = api.components.schemas;
  const body = api.paths["/grow"].post.requestBody.content["application/json"].schema;
  const request = resolved(body, components);
  const groups = groupsOf(request, components, methods, architectures);
  const note = h("div", { class: "note" });
  const planned = h("div", { class: "planned" });
  const form = h(
    "form",
    { class: "request", novalidate: true, "aria-label": "New job" },
    section("From and to", groups.source.element, groups.output.element).element,
    section("Target", groups.target.element).element,
    section("Method", groups.method.element, groups.data.element, groups.rest.element).element,
    note,
    h("div", { class: "actions" }, h("button", { type: "submit", class: "primary" }, "Show the plan")),
    planned,
  );
  groups.method.start();
  if (query.get("from")) await copy(query.get("from"), groups, signal);
  fill(content, h("h1", { tabindex: -1 }, "New job"), form);
  ready();

  const all = Object.values(groups);
  const fields = () => all.flatMap((group) => group.fields());
  const stale = () => fill(planned);
  form.addEventListener("input", stale);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const asked = {};
    for (const group of all) group.read(asked);
    clear(fields(), note);
    await attempt(event.submitter, async () => {
      const plan = await json("plan", { method: "POST", body: asked, signal });
      showPlan(plan, asked);
    });
  });

  function showPlan(plan, asked) {
    // One key for one plan: pressed twice, or again after a broken connection, it is the same job.
    const headers = { "Idempotency-Key": randomKey() };
    const submit = h("button", { type: "button", class: "primary" }, "Submit this job");
    submit.addEventListener("click", () =>
      attempt(submit, async () => {
        const job = await json("grow", { method: "POST", body: asked, headers, signal });
        location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
      }),
    );
    const asJson = h("details", {}, h("summary", {}, "As JSON"), h("pre", { tabindex: 0 }, JSON.stringify(asked, null, 2)));
    const { element, heading } = section("What this job will do", ...planParts(plan), asJson, h("div", { class: "actions" }, submit));
    heading.tabIndex = -1;
    fill(planned, element);
    heading.focus();
  }

  async function attempt(button, work) {
    if (button) button.disabled = true;
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) show(error, fields(), note, useSizes);
    } finally {
      if (button) button.disabled = false;
    }
  }

  function useSizes(nearest) {
    for (const one of groups.target.fields()) {
      const size = nearest[one.at.split("/").pop()];
      if (size !== undefined) one.write(size);
    }
    form.requestSubmit();
  }
}

/** Parts of the request: each has its fields, and reads into and writes from a whole request. */
function groupsOf(request, components, methods, architectures) {
  const data = objectGroup("Data", "data", resolved({ $ref: "Data" }, components), components, "uri");
  const output = field("/output", request.properties.output, { label: "Output", required: true, wide: true, placeholder: "s3://models/large" });
  return {
    source: sourceGroup(request, components),
    output: {
      element: output.element,
      fields: () => [output],
      read: (into) => {
        into.output = output.read();
      },
      // Nothing is ever overwritten, so only what left nothing behind can be written again.
      write: (given, _, status) => output.write(status === "succeeded" ? "" : given.output),
    },
    target: targetGroup(architectures),
    method: methodGroup(methods, ({ fits }) => data.open(fits)),
    data,
    rest: restGroup(request, components, ["source", "output", "target", "method", "data"]),
  };
}

async function copy(id, groups, signal) {
  const { request, plan, status } = await json(jobPath(id), { signal });
  for (const group of Object.values(groups)) group.write(request, plan, status);
}

function clear(fields, note) {
  for (const one of fields) one.clear();
  fill(note);
}

/** 128 bits; not crypto.randomUUID, which a page without TLS does not have. */
function randomKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
