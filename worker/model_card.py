"""The README.md of a grown checkpoint: where it comes from, what growth did to it, how to load it."""

import json
from typing import Any

from growth.config import ModelConfig
from growth.plan import GrowthPlan
from jobs.schema import GrowthRequest, Untrained
from worker.card_metadata import card_metadata
from worker.training import training_section

PRESERVING = (
    "Growth by this method is *function-preserving*: the grown model computes what the source computes, up to the "
    "rounding of {dtype}. Its new weights hold no new knowledge; they are room for further training to use."
)
NOT_PRESERVING = (
    "Growth by this method is *not* function-preserving: the grown model starts near the source, but does not compute "
    "the same function. It is a starting point for training, not a finished model."
)
POOLING = (
    "\nThe source is a sentence-transformers model. Its modules (`modules.json`, pooling, dense layers) are left out, "
    "because they name the source's width; pool the hidden states as the source's own card says.\n"
)
# A head decides by which class a model is loaded; a model without one is loaded by AutoModel.
LOADERS = (
    ("ForCausalLM", "AutoModelForCausalLM"),
    ("LMHeadModel", "AutoModelForCausalLM"),
    ("ForMaskedLM", "AutoModelForMaskedLM"),
    ("ForSequenceClassification", "AutoModelForSequenceClassification"),
    ("ForTokenClassification", "AutoModelForTokenClassification"),
    ("ForQuestionAnswering", "AutoModelForQuestionAnswering"),
    ("ForPreTraining", "AutoModelForPreTraining"),
    ("ForImageClassification", "AutoModelForImageClassification"),
    ("ForImageClassificationWithTeacher", "AutoModelForImageClassification"),
    ("ForMaskedImageModeling", "AutoModelForMaskedImageModeling"),
)


def model_card(
    request: GrowthRequest,
    plan: GrowthPlan,
    source_card: bytes,
    training: dict[str, Any],
    *,
    sentence_transformer: bool,
) -> str:
    """Markdown; the same in every attempt at a job, so what was measured stands in the manifest instead.

    `training` is the content of `training.json`.
    """
    meaning = (PRESERVING if plan.function_preserving else NOT_PRESERVING).format(dtype=plan.dtype)
    loader = _loader(plan.source.model_class)
    variable, processor = _processor(plan.source)
    name = request.output.rstrip("/").rpartition("/")[2]
    return f"""---
{card_metadata(request, plan, source_card)}---

# {name}

A {plan.source.model_class or plan.source.architecture.model_type} grown from {_origin(request)}.

{_sizes_table(plan)}

Method: `{json.dumps(plan.method.described(), sort_keys=True)}`, seed {plan.seed}, written in {plan.dtype}.

{meaning}
{_notes(plan)}{POOLING if sentence_transformer else ""}
## Load it

```python
from transformers import {", ".join(sorted((loader, processor)))}

{variable} = {processor}.from_pretrained("path/to/{name}")
model = {loader}.from_pretrained("path/to/{name}")
```

{training_section(training, name)}
`growth.json` holds the request and the plan, `model.safetensors.index.json` the SHA-256 of every file and what was
measured of {"the training, " if isinstance(request.source, Untrained) else ""}the fit and the verification.
"""


def _origin(request: GrowthRequest) -> str:
    if not isinstance(request.source, Untrained):
        return f"the checkpoint at `{request.source}`"
    settings = json.dumps(request.source.pretrain.model_dump(), sort_keys=True)
    read = f" on `{request.data.uri}`" if request.data is not None else ""
    return f"a smaller model that the same job trained first, from random weights{read}, with `{settings}`"


def _sizes_table(plan: GrowthPlan) -> str:
    source, target = plan.source.sizes.as_dict(), plan.target.sizes.as_dict()
    rows = [f"| {size} | {source[size]} | {target[size]} |" for size in source]
    return "\n".join(["| size | source | target |", "|---|---|---|", *rows])


def _notes(plan: GrowthPlan) -> str:
    return "".join(["\n", *(f"- {note}\n" for note in plan.notes)]) if plan.notes else ""


def _processor(source: ModelConfig) -> tuple[str, str]:
    """What makes the model's inputs: a variable for it, and its class."""
    tokens = all(read.vocabulary is not None for read in source.architecture.inputs(source))
    return ("tokenizer", "AutoTokenizer") if tokens else ("processor", "AutoProcessor")


def _loader(model_class: str) -> str:
    return next((loader for ending, loader in LOADERS if model_class.endswith(ending)), "AutoModel")
