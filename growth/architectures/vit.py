"""ViT: pre-LN encoder of images, whose patches a convolution embeds; no vocabulary, a class token, learned positions.

Checkpoints keep the names that transformers had before version 5, and still writes; its modules have newer ones.
"""

from collections.abc import Mapping
from math import prod

from growth.axes import Architecture, Norm, Parameter, Role, into, linear, norm, out, patches, readout
from growth.config import ModelConfig, Sizes, divide, label_count, read_int
from growth.errors import InvalidConfig
from growth.inputs import Input

MAX_IMAGE = 1 << 28
NORM = Norm("layernorm", "layer_norm_eps", 1e-12)
MODULE_NAMES = (
    (r"(^|\.)layers\.(\d+)\.", r"\1encoder.layer.\2."),
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)
"""What transformers 5 calls a module's parameters, and what a checkpoint does."""
CHECKPOINT_NAMES = (
    (r"\.encoder\.layer\.(\d+)\.", r".layers.\1."),
    (r"\.attention\.attention\.query\.", ".attention.q_proj."),
    (r"\.attention\.attention\.key\.", ".attention.k_proj."),
    (r"\.attention\.attention\.value\.", ".attention.v_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)
"""The other way, in this order."""


def read_sizes(raw: Mapping[str, object], tokens: int) -> Sizes:
    """Sizes of an encoder of images with `tokens` learned tokens before the patches."""
    hidden, heads = read_int(raw, "hidden_size"), read_int(raw, "num_attention_heads")
    head_dim = divide(hidden, heads, "hidden_size over num_attention_heads")
    if read_int(raw, "head_dim", head_dim) != head_dim:
        raise InvalidConfig(f"config.json has head_dim {raw['head_dim']}; it must be {head_dim}, or be left out.")
    channels, height, width = _image(raw)
    patch_height, patch_width = _pair(raw, "patch_size", 16)
    if not (0 < patch_height <= height and 0 < patch_width <= width):
        raise InvalidConfig(
            f"config.json has patches of {patch_height} x {patch_width} in images of {height} x {width}."
        )
    pooled = read_int(raw, "pooler_output_size", 0)
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "intermediate_size"),
        num_hidden_layers=read_int(raw, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=head_dim,
        vocab_size=0,
        fixed={
            "positions": (height // patch_height) * (width // patch_width) + tokens,
            "channels": channels,
            "patch_height": patch_height,
            "patch_width": patch_width,
            "labels": label_count(raw),
            "pixels": read_int(raw, "encoder_stride", 16) ** 2 * channels,
            "one": 1,
            # A pooler as wide as the stream grows with it, any other stays.
            **({"pooled": pooled} if pooled not in (0, hidden) else {}),
        },
    )


def _image(raw: Mapping[str, object]) -> tuple[int, int, int]:
    """Channels, height and width."""
    image = (read_int(raw, "num_channels", 3), *_pair(raw, "image_size", 224))
    if not 0 < prod(image) <= MAX_IMAGE:
        raise InvalidConfig(f"config.json makes images of {prod(image)} numbers; they must have 1 to {MAX_IMAGE}.")
    return image


def _pair(raw: Mapping[str, object], key: str, default: int) -> tuple[int, int]:
    """Height and width; a single number stands for both."""
    value = raw.get(key)
    sides = value if isinstance(value, list) and len(value) == 2 else [value, value]
    height, width = (read_int({key: side}, key, default) for side in sides)
    return height, width


def write_sizes(sizes: Sizes, raw: Mapping[str, object]) -> dict[str, object]:
    """The config's entries for `sizes`, the pooler's width among them where the config has one that grows."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    written: dict[str, object] = {name: getattr(sizes, name) for name in names}
    written |= {"head_dim": sizes.head_dim} if raw.get("head_dim") else {}
    grows = raw.get("pooler_output_size") and "pooled" not in sizes.fixed
    return written | ({"pooler_output_size": sizes.hidden_size} if grows else {})


def inputs(config: ModelConfig) -> tuple[Input, ...]:
    """One image."""
    return (Input("pixel_values", _image(config.raw)),)


def token(name: str, axis: str = "one", *, optional: bool = False, init_std: float = 1.0) -> Parameter:
    """Learned tokens, or what is added to them: [1, axis, hidden]."""
    return Parameter(name, Role.EMBEDDING, (out("one"), out(axis), out("hidden")), optional=optional, init_std=init_std)


def encoder(config: ModelConfig, base: str) -> tuple[Parameter, ...]:
    """Everything but the tokens' own parameters and the classifiers."""
    block, bias = f"{base}.encoder.layer.{{layer}}", bool(config.raw.get("qkv_bias", True))
    pooled = "pooled" if "pooled" in config.sizes.fixed else "hidden"
    pixels = (out("pixels"), into("hidden"), into("one"), into("one"))
    return (
        *patches(f"{base}.embeddings.patch_embeddings.projection"),
        *norm(f"{block}.layernorm_before"),
        *linear(f"{block}.attention.attention.query", "heads*query_dim", "hidden", bias=bias),
        *linear(f"{block}.attention.attention.key", "heads*head_dim", "hidden", bias=bias),
        *linear(f"{block}.attention.attention.value", "heads*head_dim", "hidden", bias=bias),
        *linear(f"{block}.attention.output.dense", "hidden", "heads*head_dim", writes_residual=True),
        *norm(f"{block}.layernorm_after"),
        *linear(f"{block}.intermediate.dense", "intermediate", "hidden"),
        *linear(f"{block}.output.dense", "hidden", "intermediate", writes_residual=True),
        *norm(f"{base}.layernorm"),
        *linear(f"{base}.pooler.dense", pooled, "hidden", optional=True),
        Parameter("decoder.0.weight", Role.READOUT, pixels, optional=True),
        Parameter("decoder.0.bias", Role.BIAS, (out("pixels"),), optional=True),
    )


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    return read_sizes(raw, tokens=1)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        token("vit.embeddings.cls_token"),
        token("vit.embeddings.position_embeddings", "positions"),
        token("vit.embeddings.mask_token", optional=True, init_std=0.0),
        *encoder(config, "vit"),
        *readout("classifier", "labels", bias=True),
    )


VIT = Architecture(
    model_type="vit",
    keys={},
    norm=NORM,
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=write_sizes,
    table=_table,
    base_prefix="vit",
    renames=MODULE_NAMES,
    module_renames=CHECKPOINT_NAMES,
    headed_classes=frozenset({"ViTForImageClassification"}),
    objective="image_classification",
    inputs=inputs,
)
