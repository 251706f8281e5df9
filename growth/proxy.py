"""A proxy of a target: the same family, narrower and perhaps shallower, on which hyper-parameters are searched.

Width goes down by one whole ratio for all of hidden size, feed-forward size and heads, so that `head_dim`, and with it
the scale of the attention, stays as it is (Tensor Programs V, arXiv 2203.03466, section 6 and appendix D.4).
"""

from dataclasses import replace
from math import gcd

from growth.config import ModelConfig
from growth.errors import ImpossibleProxy


def derive_proxy(target: ModelConfig, width_ratio: int, num_hidden_layers: int | None = None) -> ModelConfig:
    """The config of the proxy that is `width_ratio` times narrower than `target`.

    A single key/value head stays single; a feed-forward size that the ratio does not divide is rounded up. Raises
    ImpossibleProxy, with the nearest ratio or depth that works.
    """
    sizes = target.sizes
    _check_ratio(target, width_ratio)
    layers = sizes.num_hidden_layers if num_hidden_layers is None else num_hidden_layers
    if layers > sizes.num_hidden_layers:
        raise ImpossibleProxy(
            f"The proxy would have {layers} layers, but the target has {sizes.num_hidden_layers}; ask for at most as "
            "many.",
            field="/proxy/num_hidden_layers",
            nearest={"num_hidden_layers": sizes.num_hidden_layers},
        )
    kv_heads = sizes.num_key_value_heads
    narrow = replace(
        sizes,
        hidden_size=sizes.hidden_size // width_ratio,
        intermediate_size=-(-sizes.intermediate_size // width_ratio),
        num_attention_heads=sizes.num_attention_heads // width_ratio,
        num_key_value_heads=kv_heads if kv_heads == 1 else kv_heads // width_ratio,
        num_hidden_layers=layers,
    )
    lists = target.architecture.layer_lists(target.raw)
    return target.replaced(narrow, **{key: list(values)[:layers] for key, values in lists.items()})


def check_proxy(proxy: ModelConfig, target: ModelConfig) -> None:
    """Raises ImpossibleProxy where `proxy` is no smaller model of the target's family and vocabulary."""
    found, wanted = proxy.architecture.model_type, target.architecture.model_type
    if found != wanted:
        raise ImpossibleProxy(
            f"The proxy is a {found} model and the target a {wanted} model; give a proxy of the target's family.",
            field="/proxy/config/model_type",
        )
    if proxy.sizes.vocab_size != target.sizes.vocab_size:
        raise ImpossibleProxy(
            f"The proxy's vocab_size {proxy.sizes.vocab_size} is not the target's {target.sizes.vocab_size}; both read "
            "the same tokens.",
            field="/proxy/config",
            nearest={"vocab_size": target.sizes.vocab_size},
        )
    larger = {name: limit for name, limit in target.sizes.as_dict().items() if getattr(proxy.sizes, name) > limit}
    for name, limit in larger.items():
        raise ImpossibleProxy(
            f"The proxy's {name} {getattr(proxy.sizes, name)} is larger than the target's {limit}; a proxy is the "
            "smaller model.",
            field="/proxy/config",
            nearest=larger,
        )


def _check_ratio(target: ModelConfig, ratio: int) -> None:
    sizes = target.sizes
    whole = gcd(sizes.hidden_size, sizes.num_attention_heads)
    if sizes.num_key_value_heads > 1:
        whole = gcd(whole, sizes.num_key_value_heads)
    if whole % ratio == 0:
        return
    fitting = [number for number in range(1, whole + 1) if whole % number == 0]
    nearest = min(fitting, key=lambda number: (abs(number - ratio), number))
    raise ImpossibleProxy(
        f"A target with hidden_size {sizes.hidden_size}, {sizes.num_attention_heads} heads and "
        f"{sizes.num_key_value_heads} key/value heads can't be {ratio} times as wide as its proxy: all of them are "
        f"divided by the ratio, which works for {', '.join(map(str, fitting))}.",
        field="/proxy/width_ratio",
        nearest={"width_ratio": nearest},
    )
