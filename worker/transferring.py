"""The end of a search: what was found on the proxy, as it holds for each tensor of the target."""

import json
from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter

from growth.config import ModelConfig
from growth.mutransfer import transfer
from growth.transfer_plan import Hyperparameters
from jobs.schema import Untrained
from worker.training import UNDECAYED

_PLAN: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])


def transferred(best: Untrained, target: Mapping[str, object]) -> dict[str, JsonValue]:
    """What `training.json` holds for the model of the config `target`. Raises ImpossibleTarget."""
    base, grown = ModelConfig.from_dict(best.config), ModelConfig.from_dict(target)
    # The spread of fresh weights may have been searched too; multipliers are of the base's.
    key = base.architecture.initializer_range_key
    grown = grown.replaced(grown.sizes, **{key: base.initializer_range})
    train = best.pretrain
    found = Hyperparameters(train.learning_rate, train.weight_decay, (train.beta1, train.beta2))
    # As the file would hold it: a list where the plan has a tuple.
    return _PLAN.validate_json(json.dumps(transfer(base, grown, undecayed=UNDECAYED).to_json(found)))
