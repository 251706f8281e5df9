"""A model in memory as a source: its weights stand for a checkpoint's files, and it is the mould of the target.

It is a `PreTrainedModel` of transformers, of which no more is asked than its config and its class.
"""

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from growth.checkpoint import TORCH_DTYPES, raw_bytes
from growth.config import ModelConfig
from growth.errors import InvalidCheckpoint
from growth.header import TensorInfo
from growth.source import SourceCheckpoint
from growth.stock_weights import own_head, stored_tensors

_CODES = {dtype: code for code, dtype in TORCH_DTYPES.items()}


class HeldModel:
    """The `growth.source.Folder` of a model's weights: each tensor is a file of its own name, without a header."""

    def __init__(self, model: nn.Module) -> None:
        """Raises UnknownArchitecture and InvalidConfig as `read_source` does."""
        self.config = held_config(model)
        self._tensors: Mapping[str, Tensor] = stored_tensors(model, self.config)

    def checkpoint(self) -> SourceCheckpoint:
        """What a plan needs to know of it. Raises InvalidCheckpoint for weights that are no floating-point numbers."""
        return SourceCheckpoint(self.config, {name: _info(name, tensor) for name, tensor in self._tensors.items()})

    def names(self) -> list[str]:
        return sorted(self._tensors)

    def size(self, name: str) -> int:
        return self._tensors[name].nbytes

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        stop = None if length is None else start + length
        return bytes(raw_bytes(self._tensors[name])[start:stop])

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        data = raw_bytes(self._tensors[name])[start : start + len(buffer)]
        buffer[: len(data)] = data
        return len(data)


def held_config(model: nn.Module) -> ModelConfig:
    """The config of a model, with the class that it is."""
    config: Any = model.config
    # Without what are transformers' defaults, as save_pretrained writes it.
    raw: dict[str, object] = json.loads(config.to_json_string())
    return ModelConfig.from_dict({**raw, "architectures": [type(model).__name__]})


def target_module(source: nn.Module, target: ModelConfig, dtype: torch.dtype) -> nn.Module:
    """A model of the source's class at the target's config, on the source's device; its weights are random."""
    kind: Any = type(source)
    config: Any = source.config
    device = next(source.parameters()).device
    with torch.random.fork_rng(devices=[]):
        module: nn.Module = kind(type(config).from_dict(dict(target.raw)))
    if target.headed and not target.tied:
        own_head(module)
    return module.to(device, dtype).train(source.training)


def _info(name: str, tensor: Tensor) -> TensorInfo:
    if tensor.dtype not in _CODES:
        raise InvalidCheckpoint(
            f"Tensor {name!r} is stored as {tensor.dtype}; quantised weights can't be grown: load the model without "
            "quantisation."
        )
    return TensorInfo(name, name, _CODES[tensor.dtype], tuple(tensor.shape), 0, tensor.nbytes)
