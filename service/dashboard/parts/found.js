// What a search found: the best trial's hyper-parameters on the proxy, and how they hold for the target.

import { fill, h } from "../dom.js";
import { count, figure, whole } from "../format.js";
import { facts, section } from "./section.js";

export function found() {
  const body = h("div", {});
  const { element } = section("Found", body);
  element.hidden = true;
  const update = ({ result }) => {
    if (!result || !element.hidden) return;
    element.hidden = false;
    const values = Object.entries(result.hyperparameters).map(([name, value]) => [name.replaceAll("_", " "), figure(value)]);
    fill(
      body,
      h("h3", {}, "On the proxy"),
      facts(values),
      h("h3", {}, "Trials"),
      facts([
        ["Completed", whole(result.completed)],
        ["Ended early", whole(result.pruned)],
        ["Diverged", whole(result.diverged)],
        ["Failed", whole(result.failed)],
        ["FLOPs of all", count(result.flops)],
      ]),
      h("h3", {}, "For the target, by muTransfer"),
      h("details", {}, h("summary", {}, "training.json"), h("pre", { tabindex: 0 }, JSON.stringify(result.transfer, null, 2))),
    );
  };
  return { element, update };
}
