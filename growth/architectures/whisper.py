"""Whisper: a speech encoder behind two convolutions and a text decoder, both pre-LN, as many layers in each.

The convolutions are followed by a GELU, which keeps copies of a unit but not the mean that padding needs. The encoder's
positions are sinusoids; grown they are copies, which transformers reads from the checkpoint.
"""

from collections.abc import Mapping

from growth.axes import Architecture, Norm, Parameter, Role, embedding, into, linear, norm, out, readout
from growth.config import ModelConfig, Sizes, divide, read_int
from growth.errors import InvalidConfig
from growth.inputs import LENGTH, Input

_KEYS = {
    "hidden_size": "d_model",
    "intermediate_size": "encoder_ffn_dim",
    "num_hidden_layers": "encoder_layers",
    "num_attention_heads": "encoder_attention_heads",
}
_PAIRS = {
    "encoder_layers": "decoder_layers",
    "encoder_attention_heads": "decoder_attention_heads",
    "encoder_ffn_dim": "decoder_ffn_dim",
}
"""What encoder and decoder must have alike."""
KERNEL = 3


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    for first, second in _PAIRS.items():
        if read_int(raw, first) != read_int(raw, second):
            raise InvalidConfig(
                f"config.json has {first} {raw[first]} and {second} {raw[second]}; only a Whisper whose encoder and "
                "decoder are alike can be grown."
            )
    hidden, heads = read_int(raw, "d_model"), read_int(raw, "encoder_attention_heads")
    return Sizes(
        hidden_size=hidden,
        intermediate_size=read_int(raw, "encoder_ffn_dim"),
        num_hidden_layers=read_int(raw, "encoder_layers"),
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=divide(hidden, heads, "d_model over encoder_attention_heads"),
        vocab_size=read_int(raw, "vocab_size"),
        fixed={
            "positions": read_int(raw, "max_target_positions", 448),
            "source_positions": read_int(raw, "max_source_positions", 1500),
            "mel_bins": read_int(raw, "num_mel_bins", 80),
            "kernel": KERNEL,
        },
    )


def _write_sizes(sizes: Sizes, raw: Mapping[str, object]) -> dict[str, object]:
    written: dict[str, object] = {key: getattr(sizes, name) for name, key in _KEYS.items()}
    written |= {second: written[first] for first, second in _PAIRS.items()}
    # Many configs carry it too, and transformers takes it for encoder_layers.
    return written | ({"num_hidden_layers": sizes.num_hidden_layers} if "num_hidden_layers" in raw else {})


def _inputs(config: ModelConfig) -> tuple[Input, ...]:
    fixed = config.sizes.fixed
    return (
        Input("input_features", (fixed["mel_bins"], 2 * fixed["source_positions"])),
        Input("decoder_input_ids", (min(LENGTH, fixed["positions"]),), config.sizes.vocab_size),
    )


def _convolution(name: str, columns: str) -> tuple[Parameter, ...]:
    weight = Parameter(f"{name}.weight", Role.LINEAR, (out("hidden"), into(columns), into("kernel")))
    return weight, Parameter(f"{name}.bias", Role.BIAS, (out("hidden"),))


def _attention(name: str) -> tuple[Parameter, ...]:
    return (
        *norm(f"{name}_layer_norm"),
        *linear(f"{name}.q_proj", "heads*query_dim", "hidden"),
        *linear(f"{name}.k_proj", "heads*head_dim", "hidden", bias=False),
        *linear(f"{name}.v_proj", "heads*head_dim", "hidden"),
        *linear(f"{name}.out_proj", "hidden", "heads*head_dim", writes_residual=True),
    )


def _feed_forward(block: str) -> tuple[Parameter, ...]:
    return (
        *norm(f"{block}.final_layer_norm"),
        *linear(f"{block}.fc1", "intermediate", "hidden"),
        *linear(f"{block}.fc2", "hidden", "intermediate", writes_residual=True),
    )


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    encoder, decoder = (f"model.{stack}.layers.{{layer}}" for stack in ("encoder", "decoder"))
    return (
        *_convolution("model.encoder.conv1", "mel_bins"),
        *_convolution("model.encoder.conv2", "hidden"),
        embedding("model.encoder.embed_positions", "source_positions", sinusoidal=True),
        embedding("model.decoder.embed_tokens", "vocab"),
        embedding("model.decoder.embed_positions", "positions"),
        *_attention(f"{encoder}.self_attn"),
        *_feed_forward(encoder),
        *_attention(f"{decoder}.self_attn"),
        *_attention(f"{decoder}.encoder_attn"),
        *_feed_forward(decoder),
        *norm("model.encoder.layer_norm"),
        *norm("model.decoder.layer_norm", feeds_tied_head=config.headed and config.tied),
        *(() if config.tied else readout("proj_out", "vocab", optional=not config.headed)),
    )


WHISPER = Architecture(
    model_type="whisper",
    keys=_KEYS,
    paired_keys={_PAIRS[key]: standard for standard, key in _KEYS.items() if key in _PAIRS},
    norm=Norm("layernorm", "", 1e-5),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=_write_sizes,
    table=_table,
    base_prefix="model",
    tied_copies={"proj_out.weight": "model.decoder.embed_tokens.weight"},
    headed_classes=frozenset({"WhisperForConditionalGeneration"}),
    objective="speech_seq2seq",
    inputs=_inputs,
    tied_by_default=True,
    initializer_range_key="init_std",
    padding_refusal="the stream starts behind a GELU, which can't fill new units with the mean of the old ones",
)
