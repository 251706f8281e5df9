"""Phi: attention and MLP side by side behind one LayerNorm, biases all over, a part of each head turned."""

from growth.architectures import decoder
from growth.architectures.phi3 import write_sizes
from growth.axes import Architecture, Norm, Parameter, embedding, linear, norm, readout
from growth.config import ModelConfig


def _attention(config: ModelConfig) -> tuple[Parameter, ...]:
    block, normed = f"{decoder.BLOCK}.self_attn", bool(config.raw.get("qk_layernorm"))
    norms = (*norm(f"{block}.q_layernorm", "head_dim"), *norm(f"{block}.k_layernorm", "head_dim")) if normed else ()
    return (
        *linear(f"{block}.q_proj", "heads*query_dim", "hidden", feeds_inner_norm=normed),
        *linear(f"{block}.k_proj", "kv_heads*head_dim", "hidden", feeds_inner_norm=normed),
        *linear(f"{block}.v_proj", "kv_heads*head_dim", "hidden"),
        *linear(f"{block}.dense", "hidden", "heads*head_dim", writes_residual=True),
        *norms,
    )


def _head(config: ModelConfig) -> tuple[Parameter, ...]:
    head = readout("lm_head", "vocab", bias=True, optional=not config.headed)
    # Tied, the head keeps a bias of its own.
    return head[1:] if config.tied else head


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    return (
        embedding("model.embed_tokens", "vocab"),
        *norm(f"{decoder.BLOCK}.input_layernorm"),
        *_attention(config),
        *linear(f"{decoder.BLOCK}.mlp.fc1", "intermediate", "hidden"),
        *linear(f"{decoder.BLOCK}.mlp.fc2", "hidden", "intermediate", writes_residual=True),
        *norm("model.final_layernorm", feeds_tied_head=config.headed and config.tied),
        *_head(config),
        *readout("score", "labels", bias=True),
    )


PHI = Architecture(
    model_type="phi",
    keys={},
    norm=Norm("layernorm", "layer_norm_eps", 1e-5),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"PhiForCausalLM"}),
)
