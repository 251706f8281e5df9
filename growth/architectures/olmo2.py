"""OLMo 2: what reads the stream reads it as it is, norms stand behind both parts of a block; wide query and key norms.

Padding stays exact: the new units of the stream are zeros, which linear layers and the norms behind them keep so.
"""

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter, norm
from growth.config import ModelConfig


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        *decoder.ends(config),
        *decoder.attention(bias=bool(config.raw.get("attention_bias")), normed_queries=True),
        *norm(f"{decoder.BLOCK}.self_attn.q_norm", "heads*query_dim", bias=False),
        *norm(f"{decoder.BLOCK}.self_attn.k_norm", "kv_heads*head_dim", bias=False),
        *norm(f"{decoder.BLOCK}.post_attention_layernorm", bias=False, ends_branch=True),
        *decoder.gated_mlp(),
        *norm(f"{decoder.BLOCK}.post_feedforward_layernorm", bias=False, ends_branch=True),
    )


OLMO2 = Architecture(
    model_type="olmo2",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-5),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=decoder.write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Olmo2ForCausalLM"}),
    equal_heads_refusal="queries and keys are normalised over all heads together, where every head must count alike",
)
