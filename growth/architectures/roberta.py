"""RoBERTa: a BERT whose positions are counted from behind the padding token's id, with heads of its own.

The head of sequence classes has a dense layer, that of token classes has none; both are called `classifier`.
"""

from collections.abc import Mapping

from growth.architectures import bert
from growth.axes import Architecture, Norm, Parameter, Role, linear, norm, out, readout
from growth.config import ModelConfig, Sizes, read_int
from growth.errors import InvalidConfig


def _read_sizes(raw: Mapping[str, object]) -> Sizes:
    rows, padding = read_int(raw, "max_position_embeddings", 512), read_int(raw, "pad_token_id", 1)
    if rows <= padding + 1:
        raise InvalidConfig(
            f"config.json has max_position_embeddings {rows}, of which pad_token_id {padding} leaves none to a token."
        )
    return bert.read_sizes(raw, positions=rows - padding - 1, position_rows=rows)


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    tied_head, headless = config.headed and config.tied, not config.headed
    return (
        *bert.encoder("roberta", positions="position_rows"),
        *linear("lm_head.dense", "hidden", "hidden", optional=headless),
        *norm("lm_head.layer_norm", feeds_tied_head=tied_head, optional=headless),
        Parameter("lm_head.bias", Role.BIAS, (out("vocab"),), optional=headless),
        *(() if config.tied else readout("lm_head.decoder", "vocab", bias=True, optional=headless)),
        *linear("classifier.dense", "hidden", "hidden", optional=True),
        *readout("classifier.out_proj", "labels", bias=True),
        *readout("classifier", "labels", bias=True),
        *readout("qa_outputs", "labels", bias=True),
    )


ROBERTA = Architecture(
    model_type="roberta",
    keys={},
    norm=Norm("layernorm", "layer_norm_eps", 1e-12, post=True),
    rotary=False,
    read_sizes=_read_sizes,
    write_sizes=bert.write_sizes,
    table=_table,
    base_prefix="roberta",
    ignored=bert.IGNORED,
    tied_copies={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    headed_classes=frozenset({"RobertaForMaskedLM", "RobertaForCausalLM"}),
    objective="masked_lm",
    tied_by_default=True,
)
