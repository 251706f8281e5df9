"""T5: encoder and decoder alike, RMSNorm, relative positions in the first block of each, attention without a scale.

Where the decoder's output is scaled, by d_model**-0.5, the head is tied (v1.0); where it is not, the head is a tensor
of its own (v1.1 and later).
"""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, Role, embedding, linear, norm, out, readout
from growth.config import ModelConfig, Sizes, read_int
from growth.errors import InvalidConfig
from growth.inputs import LENGTH, Input

_KEYS = {
    "hidden_size": "d_model",
    "intermediate_size": "d_ff",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "head_dim": "d_kv",
}


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    layers, heads = read_int(raw, "num_layers"), read_int(raw, "num_heads")
    decoder_layers = read_int(raw, "num_decoder_layers", layers)
    if decoder_layers != layers:
        raise InvalidConfig(
            f"config.json has num_layers {layers} and num_decoder_layers {decoder_layers}; only a T5 with as many "
            "layers in the encoder as in the decoder can be grown."
        )
    return Sizes(
        hidden_size=read_int(raw, "d_model"),
        intermediate_size=read_int(raw, "d_ff"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=read_int(raw, "d_kv", 64),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={"buckets": read_int(raw, "relative_attention_num_buckets", 32)},
    )


def _write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    written: dict[str, object] = {key: getattr(sizes, name) for name, key in _KEYS.items()}
    return written | {"num_decoder_layers": sizes.num_hidden_layers}


def _tied(raw: Mapping[str, object]) -> bool:
    """As transformers tells the versions apart: it writes `scale_decoder_outputs`, whatever it says of the tie."""
    return bool(raw.get("scale_decoder_outputs", raw.get("tie_word_embeddings") is not False))


def _inputs(config: ModelConfig) -> tuple[Input, ...]:
    tokens = config.sizes.vocab_size
    return Input("input_ids", (LENGTH,), tokens), Input("decoder_input_ids", (LENGTH,), tokens)


def _attention(sizes: Sizes, layer: str, kind: str) -> tuple[Parameter, ...]:
    inner, reading = "heads*head_dim", sizes.hidden_size**-0.5
    writing = (sizes.num_attention_heads * sizes.head_dim) ** -0.5
    return (
        *norm(f"{layer}.layer_norm", bias=False),
        *linear(f"{layer}.{kind}.q", inner, "hidden", bias=False, init_std=reading * sizes.head_dim**-0.5),
        *linear(f"{layer}.{kind}.k", inner, "hidden", bias=False, init_std=reading),
        *linear(f"{layer}.{kind}.v", inner, "hidden", bias=False, init_std=reading),
        *linear(f"{layer}.{kind}.o", "hidden", inner, bias=False, writes_residual=True, init_std=writing),
    )


def _feed_forward(config: ModelConfig, layer: str) -> tuple[Parameter, ...]:
    sizes, name = config.sizes, f"{layer}.DenseReluDense"
    gated = str(config.raw.get("feed_forward_proj", "relu")).startswith("gated")
    readers = [
        linear(f"{name}.{part}", "intermediate", "hidden", bias=False, init_std=sizes.hidden_size**-0.5)
        for part in (("wi_0", "wi_1") if gated else ("wi",))
    ]
    writing = sizes.intermediate_size**-0.5
    return (
        *norm(f"{layer}.layer_norm", bias=False),
        *(row for reader in readers for row in reader),
        *linear(f"{name}.wo", "hidden", "intermediate", bias=False, writes_residual=True, init_std=writing),
    )


def _relative_positions(sizes: Sizes, stack: str) -> Parameter:
    """What each head adds to the scores of each distance."""
    name = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    return Parameter(name, Role.EMBEDDING, (out("buckets"), out("heads")), init_std=sizes.hidden_size**-0.5)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    sizes, encoder, decoder = config.sizes, "encoder.block.{layer}.layer", "decoder.block.{layer}.layer"
    return (
        embedding("shared", "vocab"),
        _relative_positions(sizes, "encoder"),
        _relative_positions(sizes, "decoder"),
        *_attention(sizes, f"{encoder}.0", "SelfAttention"),
        *_feed_forward(config, f"{encoder}.1"),
        *_attention(sizes, f"{decoder}.0", "SelfAttention"),
        *_attention(sizes, f"{decoder}.1", "EncDecAttention"),
        *_feed_forward(config, f"{decoder}.2"),
        *norm("encoder.final_layer_norm", bias=False),
        *norm("decoder.final_layer_norm", bias=False, feeds_tied_head=config.headed and config.tied),
        *(() if config.tied else readout("lm_head", "vocab", optional=not config.headed)),
    )


T5 = Architecture(
    model_type="t5",
    keys=_KEYS,
    paired_keys={"num_decoder_layers": "num_hidden_layers"},
    norm=Norm("rmsnorm", "layer_norm_epsilon", 1e-6),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="",
    ignored=(r"^decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight$",),
    tied_copies={"lm_head.weight": "shared.weight"},
    shared_copies=dict.fromkeys(("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"), "shared.weight"),
    headed_classes=frozenset({"T5ForConditionalGeneration"}),
    objective="seq2seq_lm",
    inputs=_inputs,
    tied_by_default=True,
    tells_tie=_tied,
    initializer_range_key="initializer_factor",
    initializer_range_default=1.0,
    attention_power=0.0,
    readout_scale=lambda sizes: sizes.hidden_size**-0.5,
    head_dim_refusal="attention has no scale that could make up for larger products",
)
