"""Phi-3: queries, keys and values in one tensor, gate and up in another; `hidden_size` decides how wide heads are."""

from collections.abc import Mapping

from growth.architectures import decoder
from growth.axes import Architecture, Norm, Parameter, linear
from growth.config import ModelConfig, Sizes


def write_sizes(sizes: Sizes, _raw: Mapping[str, object]) -> dict[str, object]:
    """The config's entries for `sizes`; none for `head_dim`."""
    # The frequencies of long contexts are checked against hidden_size over the heads.
    return {name: size for name, size in sizes.as_dict().items() if name != "head_dim"}


def _table(config: ModelConfig) -> tuple[Parameter, ...]:
    block, fused = decoder.BLOCK, "heads*query_dim|kv_heads*head_dim|kv_heads*head_dim"
    return (
        *decoder.ends(config),
        *decoder.pre_norms(),
        *linear(f"{block}.self_attn.qkv_proj", fused, "hidden", bias=False),
        *linear(f"{block}.self_attn.o_proj", "hidden", "heads*head_dim", bias=False, writes_residual=True),
        *linear(f"{block}.mlp.gate_up_proj", "intermediate|intermediate", "hidden", bias=False),
        *linear(f"{block}.mlp.down_proj", "hidden", "intermediate", bias=False, writes_residual=True),
    )


PHI3 = Architecture(
    model_type="phi3",
    keys={},
    norm=Norm("rmsnorm", "rms_norm_eps", 1e-5),
    rotary=True,
    read_sizes=decoder.read_sizes,
    write_sizes=write_sizes,
    table=_table,
    base_prefix=decoder.BASE,
    ignored=decoder.FREQUENCIES,
    tied_copies=decoder.TIED_HEAD,
    headed_classes=frozenset({"Phi3ForCausalLM"}),
)
