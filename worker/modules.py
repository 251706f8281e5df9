"""Stock transformers models for a config: built with random weights or without."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
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
from growth.plan import GrowthPlan
from growth.stock_weights import fill_module, own_head

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
        own_head(stock_module)
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
