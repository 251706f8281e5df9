"""What a checkpoint of a stock class holds: names and shapes from transformers itself, on the meta device."""

from math import prod
from typing import Any

import torch
import transformers
from transformers.core_model_loading import revert_weight_conversion

from growth.config import ModelConfig
from growth.header import SINGLE_FILE, TensorInfo


def stock_model(kind: str, raw: dict[str, Any]) -> Any:
    """The stock class `kind` of this config, without memory for its weights."""
    values = {key: value for key, value in raw.items() if key != "model_type"}
    config = transformers.AutoConfig.for_model(str(raw["model_type"]), **values)
    with torch.device("meta"):
        return getattr(transformers, kind)(config)


def stock_shapes(kind: str, raw: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name and shape of each tensor that `save_pretrained` would write: tied ones once, no buffers left out."""
    model = stock_model(kind, raw)
    tied = set(model.all_tied_weights_keys)
    kept = {name: tensor for name, tensor in model.state_dict().items() if name not in tied}
    return {name: tuple(tensor.shape) for name, tensor in as_written(model, kept).items()}


def as_written(model: Any, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a module under the names that `save_pretrained` gives them, which may be older ones."""
    written: dict[str, torch.Tensor] = revert_weight_conversion(model, tensors)
    return written


def stock_tensors(kind: str, raw: dict[str, Any]) -> dict[str, TensorInfo]:
    """The headers of such a checkpoint in float32."""
    shapes = stock_shapes(kind, raw)
    return {name: TensorInfo(name, SINGLE_FILE, "F32", shape, 0, 4 * prod(shape)) for name, shape in shapes.items()}


def stock_config(kind: str, raw: dict[str, Any]) -> ModelConfig:
    """The config of such a checkpoint."""
    return ModelConfig.from_dict({**raw, "architectures": [kind]})
