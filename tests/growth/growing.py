"""Grow a checkpoint and compare it with its source in stock transformers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from growth.apply import Grower
from growth.checkpoint import CheckpointReader
from growth.config import ModelConfig
from growth.expand import source_fetch
from growth.local_folder import LocalFolder
from growth.operators import parse_method
from growth.operators.method import Nested
from growth.plan import GrowthPlan, make_plan
from growth.source import SourceCheckpoint, read_source
from tests.families import FAMILIES

Target = Mapping[str, int]
Outputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Source:
    """A checkpoint on disk, opened for growing."""

    path: Path
    checkpoint: SourceCheckpoint

    @classmethod
    def open(cls, path: Path) -> "Source":
        return cls(path, read_source(LocalFolder(path)))

    @property
    def config(self) -> ModelConfig:
        return self.checkpoint.config

    @cached_property
    def reader(self) -> CheckpointReader:
        return CheckpointReader(LocalFolder(self.path), self.checkpoint.tensors)

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


class KeepFloat64(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stock norms and softmaxes compute in float32, which in a float64 model would hide whatever is wrong by less."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        options = dict(kwargs or {})
        narrows = func is torch.ops.aten._to_copy.default and options.get("dtype") is torch.float32
        if narrows and args[0].dtype is torch.float64:
            options["dtype"] = torch.float64
        return func(*args, **options)


def build(plan: GrowthPlan, tensors: Mapping[str, Tensor]) -> Any:
    """The stock model of the target in float64 with these weights, every one of which must have its place."""
    raw = dict(plan.target.raw)
    config = transformers.AutoConfig.for_model(str(raw.pop("model_type")), **raw)
    kind = getattr(transformers, plan.target.model_class)
    model, report = kind.from_pretrained(
        None, config=config, state_dict=dict(tensors), dtype=torch.float64, output_loading_info=True, **EXPERTS
    )
    assert not any(report.values()), report
    return model.eval()


def load(path: Path) -> tuple[Any, dict[str, Any]]:
    """The checkpoint in the class that its config names, by transformers' auto class, and the loading's report."""
    kind = transformers.AutoConfig.from_pretrained(path).architectures[0]
    auto = next(name for suffix, name in AUTO_CLASSES.items() if kind.endswith(suffix))
    model, report = getattr(transformers, auto).from_pretrained(path, output_loading_info=True, **EXPERTS)
    assert type(model).__name__ == kind
    return model.eval(), report


# The faster ways to compute experts know neither float64 nor sizes that are no multiple of 16 bytes.
EXPERTS = {"experts_implementation": "eager"}
AUTO_CLASSES = {
    "ForMaskedLM": "AutoModelForMaskedLM",
    "LMHeadModel": "AutoModelForCausalLM",
    "ForCausalLM": "AutoModelForCausalLM",
    "ForImageClassification": "AutoModelForImageClassification",
    "ForImageClassificationWithTeacher": "AutoModelForImageClassification",
    "ForMaskedImageModeling": "AutoModelForMaskedImageModeling",
    "ForSpeechSeq2Seq": "AutoModelForSpeechSeq2Seq",
    "WhisperForConditionalGeneration": "AutoModelForSpeechSeq2Seq",
    "ForConditionalGeneration": "AutoModelForSeq2SeqLM",
    "Model": "AutoModel",
}


OUTPUTS = ("logits", "reconstruction", "last_hidden_state", "pooler_output")


def outputs(model: Any) -> Outputs:
    """Logits or pixels of a model with a head; the last hidden state, and the pooled one, of a model without."""
    inputs = FAMILIES[model.config.model_type].inputs()
    floating = {name: tensor.to(model.dtype) for name, tensor in inputs.items() if tensor.is_floating_point()}
    with torch.no_grad(), KeepFloat64():  # type: ignore[no-untyped-call]
        computed = model(**{**inputs, **floating})
    return {kind: computed[kind] for kind in OUTPUTS if computed.get(kind) is not None}


def difference(source: Outputs, grown: Outputs) -> float:
    """The largest absolute difference over all outputs; of a wider hidden state the old units count."""
    assert source.keys() == grown.keys()
    return max(float((grown[key][..., : value.shape[-1]] - value).abs().max()) for key, value in source.items())


def relative_difference(source: Outputs, grown: Outputs) -> float:
    """`difference`, relative to the largest output of the source."""
    return difference(source, grown) / max(float(value.abs().max()) for value in source.values())
