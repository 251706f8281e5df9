// The request as it was sent, to copy into a file or a pipeline.

import { h } from "../dom.js";
import { moment } from "../format.js";
import { facts, section } from "./section.js";

export function requestView(job) {
  return section(
    "Request",
    facts([
      ["Submitted", moment(job.created_at)],
      ["Owner", job.owner],
    ]),
    h("details", {}, h("summary", {}, "As JSON"), h("pre", { tabindex: 0 }, JSON.stringify(short(job.request), null, 2))),
  );
}

/** Without what was left out. */
function short(request) {
  return Object.fromEntries(Object.entries(request).filter(([, value]) => value !== null));
}
