"""Stock transformers models for a config: built with random weights or without, filled and read tensor by tensor."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSpeechSeq2Seq,
    PreTrainedModel,
)
from transformers.initialization import no_init_weights

from growth.checkpoint import CheckpointReader
from growth.config import ModelConfig
from growth.errors import InvalidConfig
from growth.matching import fused_names, parameter_names
from growth.plan import GrowthPlan

_HEADED = {
    "causal_lm": AutoModelForCausalLM,
    "masked_lm": AutoModelForMaskedLM,
    "image_classification": AutoModelForImageClassification,
    "seq2seq_lm": AutoModelForSeq2SeqLM,
    "speech_seq2seq": AutoModelForSpeechSeq2Seq,
}

_NEVER_HEEDED = {
    "model_type",
    "auto_map",
    "quantization_config",
    "dtype",
    "torch_dtype",
    # A name of somebody's repository here would have transformers fetch a kernel from it, and run it.
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
}


def build_module(config: ModelConfig, *, device: str = "cpu", seed: int | None = None) -> nn.Module:
    """The stock module for `config`, with its head where the checkpoint's class has one.

    Its weights are transformers' own random ones, drawn from `seed` on the CPU; undefined without a seed. No code but
    that of the installed transformers runs: `auto_map` is never looked at, nor what names a kernel to be fetched.
    Raises InvalidConfig where transformers can't build it.
    """
    raw = {key: value for key, value in config.raw.items() if key not in _NEVER_HEEDED}
    if config.architecture.fused:
        # The faster ways to compute experts take no sizes but multiples of 16 bytes.
        raw["experts_implementation"] = "eager"
    kind = _HEADED[config.architecture.objective] if config.headed else AutoModel
    with no_init_weights() if seed is None else _seeded(seed):
        stock_module = _stock(kind, config.architecture.model_type, raw)
    # Building without initialisation leaves a tied head apart from its embedding.
    stock_module.tie_weights()
    if config.headed and not config.tied:
        _own_head(stock_module)
    module: nn.Module = stock_module
    return module.to(device)


def _stock(kind: Any, model_type: str, raw: Mapping[str, object]) -> PreTrainedModel:
    try:
        module: PreTrainedModel = kind.from_config(AutoConfig.for_model(model_type, **raw), dtype=torch.float32)
    except (MemoryError, RuntimeError):
        raise
    except Exception as error:  # what is wrong with a config is told in a dozen ways
        raise InvalidConfig(
            "transformers can't build a model of the source's config.json; load the source and write it again with "
            "save_pretrained."
        ) from error
    return module


def module_names(config: ModelConfig) -> list[str]:
    """Names of the parameters of the stock module for `config`, which takes no memory."""
    with torch.device("meta"):
        return [name for name, _ in build_module(config, device="meta").named_parameters()]


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def source_module(plan: GrowthPlan, reader: CheckpointReader, *, device: str) -> nn.Module:
    """The stock source with its weights."""
    module = build_module(plan.source, device=device)
    stored = {name: info.name for name, info in plan.source_tensors.items()}
    fill_module(module, plan.source, stored, lambda name: reader.tensor(stored[name]))
    return module


def weightless(module: nn.Module) -> nn.Module:
    """The module with its parameters on the meta device, ties kept: for whoever computes with other weights."""
    known: dict[nn.Parameter, nn.Parameter] = {}
    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            bare = known.setdefault(parameter, nn.Parameter(parameter.to("meta"), requires_grad=False))
            part.register_parameter(name, bare)
    return module


def _own_head(module: PreTrainedModel) -> None:
    """A tensor of its own for the head, where transformers ties it until it has seen that the checkpoint has both."""
    head: object = module.get_output_embeddings()  # type: ignore[no-untyped-call]
    embedding = module.get_input_embeddings()
    if isinstance(head, nn.Linear) and head.weight is embedding.weight:
        head.weight = nn.Parameter(head.weight.detach().clone())


def fill_module(module: nn.Module, config: ModelConfig, names: Iterable[str], read: Callable[[str], Tensor]) -> None:
    """Copy the tensors `names`, which `read` gives, into `module`; those of other heads are left out.

    What the checkpoint may lack, such as a pooler, is zero where it does.
    """
    stored = set(names)
    optional = {row.name for row in config.architecture.table(config) if row.optional}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    known = parameter_names(config, parameters)
    filled = {parameters[name].data_ptr() for name in parameters if known[name] in stored}
    for name, parameter in parameters.items():
        if fused := fused_names(config, known[name]):
            for expert, weights in enumerate(parameter.data):
                weights.copy_(torch.cat([read(part.format(expert=expert)) for part in fused]))
        elif known[name] in stored:
            parameter.data.copy_(read(known[name]))
        elif parameter.data_ptr() not in filled:
            assert known[name] in optional, f"no tensor for {name}"
            parameter.data.zero_()


def stored_tensors(module: nn.Module, config: ModelConfig) -> dict[str, Tensor]:
    """The module's weights as a checkpoint holds them: a tied tensor once, every expert's tensors by themselves."""
    parameters = dict(module.named_parameters())
    known = parameter_names(config, parameters)
    stored: dict[str, Tensor] = {}
    for name, parameter in parameters.items():
        if fused := fused_names(config, known[name]):
            for expert, weights in enumerate(parameter.detach()):
                parts = weights.chunk(len(fused))
                stored |= {part.format(expert=expert): rows for part, rows in zip(fused, parts, strict=True)}
        else:
            stored[known[name]] = parameter.detach()
    return stored
