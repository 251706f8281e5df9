// The job's events as a list; points of curves and steps of progress are shown elsewhere.

import { h, write } from "../dom.js";
import { clock, figure, has, moment, words } from "../format.js";
import { section } from "./section.js";

const SHOWN = 200;

export function eventList() {
  const list = h("ol", { class: "events" });
  const note = h("p", { class: "hint", hidden: true });
  const { element } = section("Events", note, list);
  let told = 0;
  const update = (_, { listed }) => {
    element.hidden = !listed.length;
    list.append(...listed.slice(told).map(item));
    told = listed.length;
    while (list.children.length > SHOWN) list.firstElementChild.remove();
    note.hidden = told <= SHOWN;
    write(note, `The newest ${SHOWN} of ${told}.`);
  };
  return { element, update };
}

function item(event) {
  return h(
    "li",
    {},
    h("time", { datetime: event.at, title: moment(event.at) }, clock(event.at)),
    h("span", { class: "event-kind" }, words(event.kind)),
    h("span", {}, said(event)),
  );
}

function said({ kind, data }) {
  if (kind === "status") return [words(data.status), data.reason, data.error?.detail, data.worker].filter(Boolean).join(" · ");
  if (kind === "stage") return words(data.stage);
  if (kind === "candidate") return `${data.label}: ${has(data.held_out_loss) ? figure(data.held_out_loss) : data.refusal}`;
  if (kind === "trial") return `Trial ${data.number}: ${[data.status, data.reason, data.error?.detail].filter(Boolean).join(" · ")}`;
  return typeof data.message === "string" ? data.message : JSON.stringify(data);
}
