"""`training.json`: what a grown model is to be trained with, in multiples of what its source was trained with."""

from typing import Any

from growth.axes import Role
from growth.errors import ImpossibleTarget
from growth.mutransfer import NORMS_AND_BIASES, transfer
from growth.plan import GrowthPlan
from growth.transfer_plan import Hyperparameters, TransferPlan
from jobs.schema import GrowthRequest, Training, Untrained

UNDECAYED = NORMS_AND_BIASES | {Role.EMBEDDING}
"""What has no weight decay where a model is trained here: the source of a job, or the proxy of a search."""
EXAMPLE = {"learning_rate": 1e-4, "weight_decay": 0.1, "betas": (0.9, 0.999), "epsilon": 1e-8}
"""Where the source's are not known."""


def training_of(request: GrowthRequest, plan: GrowthPlan) -> dict[str, Any]:
    """The file's content; it tells the reason where muP has no answer for these sizes."""
    known = _known(request)
    own = isinstance(request.source, Untrained)
    try:
        found = transfer(
            plan.source,
            plan.target,
            optimizer="adamw" if known is None else known.optimizer,
            # The grown weights hold what their function needs, with the config as it is.
            config_factors=False,
            undecayed=UNDECAYED if own else NORMS_AND_BIASES,
        )
    except ImpossibleTarget as reason:
        return TransferPlan.refused(reason)
    given = None if known is None else Hyperparameters(**known.model_dump(exclude={"optimizer"}))
    return found.to_json(given)


def _known(request: GrowthRequest) -> Training | None:
    """What the source was trained with, by the request or by the job itself."""
    if request.training is not None or not isinstance(request.source, Untrained):
        return request.training
    asked = request.source.pretrain
    betas = (asked.beta1, asked.beta2)
    return Training(learning_rate=asked.learning_rate, weight_decay=asked.weight_decay, betas=betas)


def training_section(training: dict[str, Any], name: str) -> str:
    """The part of the model card that tells how to use the file; `name` is the output's."""
    if "refused" in training:
        return f"## Train it\n\n`training.json` has no multipliers: {training['refused']}\n"
    kind = {"adamw": "AdamW", "adam": "Adam", "sgd": "SGD"}[training["optimizer"]]
    known = training["hyperparameters"]
    said = "what the source was trained with, and " if known is not None else ""
    hint = "" if known is not None else " Put the source's own values in the fourth line."
    values = 'training["hyperparameters"]' if known is not None else repr(EXAMPLE)
    adam = training["optimizer"] != "sgd"
    eps = ', "eps": known["epsilon"] * group["epsilon"]' if adam else ""
    betas = ', betas=known["betas"]' if adam else ""
    return f"""## Train it

`training.json` holds {said}by how much each tensor of this model is to differ from what the source was trained with
(muP, arXiv 2203.03466).{hint}

```python
import json, pathlib, torch

training = json.loads(pathlib.Path("path/to/{name}/training.json").read_text())
known = {values}
named, groups = dict(model.named_parameters()), []
for group in training["groups"]:
    params = [named.pop(name) for name in group["parameters"] if name in named]
    groups.append({{"params": params, "lr": known["learning_rate"] * group["learning_rate"],
                   "weight_decay": known["weight_decay"] * group["weight_decay"]{eps}}})
assert not named, "these have no group"
optimizer = torch.optim.{kind}(groups, lr=known["learning_rate"]{betas})
```
"""
