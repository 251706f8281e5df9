"""ViT: a pre-LN encoder of images; channels, both sides of a patch and of an image all have sizes of their own."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from tests.families.family import ANY, HEAD_DIM, LABELS, Family, Variant

CONFIG: Mapping[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 88,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 24,
    "patch_size": 8,
    "num_channels": 2,
    "encoder_stride": 8,
    **LABELS,
}
ODD: Mapping[str, Any] = {
    "hidden_size": 30,
    "num_attention_heads": 5,
    "intermediate_size": 77,
    "num_hidden_layers": 2,
    "image_size": [44, 63],
    "patch_size": [4, 9],
    "num_channels": 6,
    "encoder_stride": 8,
}
ODD_TARGET: Mapping[str, int] = {
    "hidden_size": 88,
    "num_attention_heads": 8,
    "intermediate_size": 131,
    "num_hidden_layers": 3,
}
TARGETS = {**ANY, **HEAD_DIM}
NARROW: Mapping[str, Any] = {"pooler_output_size": 19, "qkv_bias": False}


def image_inputs() -> dict[str, Tensor]:
    """Two seeded images."""
    return {"pixel_values": torch.randn(2, 2, 24, 24, generator=torch.Generator().manual_seed(0))}


VIT = Family(
    model_type="vit",
    config=CONFIG,
    variants={
        "vit": Variant("ViTForImageClassification"),
        "vit-no-bias": Variant("ViTForImageClassification", {"qkv_bias": False}),
        "vit-pixels": Variant("ViTForMaskedImageModeling"),
        "vit-headless": Variant("ViTModel"),
        "vit-narrow-pooler": Variant("ViTModel", {"pooler_output_size": 19}),
    },
    targets=TARGETS,
    odd=ODD,
    odd_target=ODD_TARGET,
    classes={
        "vit": ("ViTModel", {}),
        "vit-narrow": ("ViTModel", NARROW),
        "vit-images": ("ViTForImageClassification", LABELS),
        "vit-pixels": ("ViTForMaskedImageModeling", {}),
    },
    prefix="vit.",
    tokenizer=None,
    inputs=image_inputs,
)
