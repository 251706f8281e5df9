"""Grow a checkpoint and compare it with its source in stock transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from growth.apply import Grower
from growth.checkpoint import CheckpointReader
from growth.config import ModelConfig
from growth.expand import source_fetch
from growth.operators import parse_method
from growth.operators.method import Nested
from growth.plan import GrowthPlan, make_plan
from growth.source import SourceCheckpoint, read_source
from tests.growth.folders import DirectoryFolder
from tests.tiny import VOCAB_SIZE

Target = Mapping[str, int]
Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk, opened for growing."""

    path: Path
    checkpoint: SourceCheckpoint

    @classmethod
    def open(cls, path: Path) -> "Source":
        return cls(path, read_source(DirectoryFolder(path)))

    @property
    def config(self) -> ModelConfig:
        return self.checkpoint.config

    @cached_property
    def reader(self) -> CheckpointReader:
        return CheckpointReader(DirectoryFolder(self.path), self.checkpoint.tensors)

    @cached_property
    def outputs(self) -> Outputs:
        """What stock transformers computes with the source, in the dtype that it is stored in."""
        return outputs(load(self.path)[0])

    def plan(self, target: Target, method: Nested, **options: Any) -> GrowthPlan:
        """The plan of growing this checkpoint."""
        return make_plan(self.config, self.checkpoint.tensors, target, parse_method(method), **options)

    def standard(self, target: Target) -> dict[str, int]:
        """`target` under the standard names of sizes, under which a refusal names the nearest one."""
        return {self.config.size_key(key) or key: size for key, size in target.items()}


def grown_tensors(plan: GrowthPlan, reader: CheckpointReader) -> dict[str, Tensor]:
    """Every tensor of the target in the dtype that the arithmetic has: float64 where the source is stored so."""
    grower = Grower(plan.operator, plan.source, plan.target)
    return {t.name: grower.grow(t.parameter, t.layer, source_fetch(plan, reader, t.parameter)) for t in plan.tensors}


def build(plan: GrowthPlan, tensors: Mapping[str, Tensor]) -> Any:
    """The stock model of the target in float64 with these weights, every one of which must have its place."""
    raw = dict(plan.target.raw)
    config = transformers.AutoConfig.for_model(str(raw.pop("model_type")), **raw)
    model = getattr(transformers, plan.target.model_class)(config).double().eval()
    prefix = plan.target.architecture.base_prefix
    headed = hasattr(model, prefix)
    state = {name if headed else name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert set(missing) <= set(model.all_tied_weights_keys)
    return model


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The checkpoint in the class that its config names, by transformers' auto class, and the loading's report."""
    kind = transformers.AutoConfig.from_pretrained(path).architectures[0]
    auto = {"ForMaskedLM": "AutoModelForMaskedLM", "LMHeadModel": "AutoModelForCausalLM"}
    auto |= {"ForCausalLM": "AutoModelForCausalLM", "Model": "AutoModel"}
    name = next(auto[suffix] for suffix in auto if kind.endswith(suffix))
    model, report = getattr(transformers, name).from_pretrained(path, output_loading_info=True)
    assert type(model).__name__ == kind
    return model.eval(), report


def outputs(model: Any) -> Outputs:
    """The logits of a model with a head; the last hidden state, and the pooled one, of a model without."""
    ids = torch.randint(3, VOCAB_SIZE, (2, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        computed = model(input_ids=ids)
    return {k: computed[k] for k in ("logits", "last_hidden_state", "pooler_output") if computed.get(k) is not None}


def difference(source: Outputs, grown: Outputs) -> float:
    """The largest absolute difference over all outputs; of a wider hidden state the old units count."""
    assert source.keys() == grown.keys()
    return max(float((grown[key][..., : value.shape[-1]] - value).abs().max()) for key, value in source.items())


def relative_difference(source: Outputs, grown: Outputs) -> float:
    """`difference`, relative to the largest output of the source."""
    return difference(source, grown) / max(float(value.abs().max()) for value in source.values())
