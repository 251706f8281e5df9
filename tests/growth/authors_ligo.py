"""LiGO as its authors' code has it: the state of a fit of a BERT, and what that code makes of the source's tensors.

Source: github.com/VITA-Group/LiGO, `create_ligo_from_model` and the `get_params` of its layers.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

LAYERS = 3
EMBEDDING, HEAD = "bert.embeddings.fuse_width_emb", "cls.predictions.fuse_width_cls"
# Module -> the maps of what it produces and what it reads; `{layer}` is the target's.
_LAYER = "bert.encoder.layer.{layer}"
_QUERY, _KEY, _VALUE, _FFN = (f"{_LAYER}.fuse_width_{name}" for name in ("query", "key", "value", "ffn"))
LAYERED: Mapping[str, tuple[str, str | None]] = {
    f"{_LAYER}.attention.self.query": (_QUERY, EMBEDDING),
    f"{_LAYER}.attention.self.key": (_KEY, EMBEDDING),
    f"{_LAYER}.attention.self.value": (_VALUE, EMBEDDING),
    f"{_LAYER}.attention.output.dense": (EMBEDDING, _VALUE),
    f"{_LAYER}.attention.output.LayerNorm": (EMBEDDING, None),
    f"{_LAYER}.intermediate.dense": (_FFN, EMBEDDING),
    f"{_LAYER}.output.dense": (EMBEDDING, _FFN),
    f"{_LAYER}.output.LayerNorm": (EMBEDDING, None),
}
OTHERS: Mapping[str, tuple[str | None, str | None]] = {
    "bert.embeddings.word_embeddings": (None, EMBEDDING),
    "bert.embeddings.position_embeddings": (None, EMBEDDING),
    "bert.embeddings.token_type_embeddings": (None, EMBEDDING),
    "bert.embeddings.LayerNorm": (EMBEDDING, None),
    "cls.predictions.transform.dense": (HEAD, EMBEDDING),
    "cls.predictions.transform.LayerNorm": (HEAD, None),
    "cls.predictions.decoder": (None, HEAD),
}


def fitted_state(seed: int = 0) -> dict[str, Tensor]:
    """The learned tensors of a fit from 2 layers, 32 wide, to 3 layers, 48 wide; no two of them related."""
    generator = torch.Generator().manual_seed(seed)
    state = {f"{name}.coeffs_weight": torch.randn(16, 32, generator=generator) for name in (EMBEDDING, HEAD)}
    for layer in range(LAYERS):
        for width in (_QUERY, _KEY, _VALUE, _FFN):
            rows, size = (64, 128) if width == _FFN else (16, 32)
            state[f"{width}.coeffs_weight".format(layer=layer)] = torch.randn(rows, size, generator=generator)
        for module in LAYERED:
            for kind in ("weight", "bias"):
                name = f"{module}.fuse_depth_coeffs.coeffs_{kind}".format(layer=layer)
                state[name] = torch.randn(2, generator=generator)
    return state


def grown_by_authors(state: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Every tensor of the target in float64."""
    grown = {"cls.predictions.bias": source["cls.predictions.bias"].double()}
    for module, (out, into) in OTHERS.items():
        for name in (name for name in source if name.rpartition(".")[0] == module):
            grown[name] = _wider(source[name].double(), out, into, state, 0)
    for module, (out, into) in LAYERED.items():
        for layer in range(LAYERS):
            for kind in ("weight", "bias"):
                depth = state[f"{module}.fuse_depth_coeffs.coeffs_{kind}".format(layer=layer)].double()
                stacked = torch.stack([source[f"{module}.{kind}".format(layer=k)].double() for k in range(2)], -1)
                mixed = torch.sum(stacked * depth, -1)
                grown[f"{module}.{kind}".format(layer=layer)] = _wider(mixed, out, into, state, layer)
    return grown


def _wider(tensor: Tensor, out: str | None, into: str | None, state: Mapping[str, Tensor], layer: int) -> Tensor:
    if into is not None and tensor.ndim == 2:
        learned = state[f"{into}.coeffs_weight".format(layer=layer)].double()
        tensor = torch.cat([tensor, tensor @ learned.T], 1)
    if out is not None:
        learned = state[f"{out}.coeffs_weight".format(layer=layer)].double()
        tensor = torch.cat([tensor, learned @ tensor], 0)
    return tensor
