// What came of the growth: losses before and after, how far the logits moved, what was learned and written.

import { fill, h } from "../dom.js";
import { bytes, count, figure, has, whole } from "../format.js";
import { candidates } from "./candidates.js";
import { facts, section } from "./section.js";

export function report() {
  const body = h("div", {});
  const { element } = section("Growth report", body);
  element.hidden = true;
  const update = ({ result }) => {
    if (!result || !element.hidden) return;
    element.hidden = false;
    fill(body, figures(result), facts(details(result)), result.selection ? candidates(result.selection) : null);
  };
  return { element, update };
}

/** The few numbers that people look for first. */
function figures({ verification: checked, fit }) {
  const shown = [
    has(checked?.source_loss) && ["Source's loss", figure(checked.source_loss), "nats per token, held out"],
    has(checked?.target_loss) && ["Grown model's loss", figure(checked.target_loss), "nats per token, held out"],
    has(checked?.max_logit_difference) && ["Logits moved by", figure(checked.max_logit_difference), scale(checked)],
    fit && ["Fit lowered the loss to", figure(fit.final_held_out_loss), `from ${figure(fit.initial_held_out_loss)}`],
  ].filter(Boolean);
  if (!shown.length) return h("p", {}, "The job was not asked to verify what it wrote.");
  return h("ul", { class: "figures" }, shown.map(([name, value, note]) => h("li", {}, h("span", {}, name), h("strong", {}, value), h("small", {}, note))));
}

function scale({ max_logit: largest, tokens }) {
  const inputs = `over ${whole(tokens)} outputs`;
  return largest ? `at the most, of ${figure(largest)}, ${inputs}` : `at the most, ${inputs}`;
}

function details({ fit, pretraining, bytes_written: written, objects, manifest }) {
  return [
    ["Source trained", pretraining && `${whole(pretraining.steps)} steps, held-out loss ${figure(pretraining.initial_held_out_loss)} to ${figure(pretraining.final_held_out_loss)}`],
    ["Fit", fit && `${whole(fit.steps)} steps of ${count(fit.parameters)} learned numbers`],
    ["FLOPs of a fit's step", fit?.flops_per_step ? count(fit.flops_per_step) : null],
    ["Written", `${bytes(written)} in ${whole(objects)} objects`],
    ["Manifest", h("code", {}, manifest)],
  ];
}
