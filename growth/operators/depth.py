"""Stack, interpolate, solar and identity: in which order the source's layers fill a deeper target."""

from dataclasses import dataclass

from growth.errors import ImpossibleTarget
from growth.operators.method import Depth, DepthMethod, Growth


@dataclass(frozen=True)
class Stack(DepthMethod):
    """The whole source on top of itself: layer l copies l mod L_S."""

    name = "stack"
    summary = "Stacks the source's layers on top of themselves."
    paper = "StackBERT (Gong et al., ICML 2019), G_stack (arXiv 2405.15319)"

    def deepen(self, source_layers: int, target_layers: int, _growth: Growth) -> Depth:
        return Depth(tuple(layer % source_layers for layer in range(target_layers)), exact=False)


@dataclass(frozen=True)
class Interpolate(DepthMethod):
    """Every layer followed by its copies: layer l copies floor(l L_S / L_T)."""

    name = "interpolate"
    summary = "Repeats each of the source's layers in its place."
    paper = "MSLT (arXiv 2011.13635), interleaved layout"

    def deepen(self, source_layers: int, target_layers: int, _growth: Growth) -> Depth:
        return Depth(interleaved(source_layers, target_layers), exact=False)


@dataclass(frozen=True)
class Solar(DepthMethod):
    """The source twice, m layers dropped on either side of the seam: [0 .. L_S-m-1] + [m .. L_S-1], L_T = 2 (L_S - m).

    Source: SOLAR (arXiv 2312.15166), section 2. m follows from the target; 0 is `stack`.
    """

    name = "solar"
    summary = "Stacks the source twice, without the last layers below the seam and the first above it."
    paper = "SOLAR 10.7B (arXiv 2312.15166)"

    def deepen(self, source_layers: int, target_layers: int, _growth: Growth) -> Depth:
        if target_layers % 2 or target_layers > 2 * source_layers:
            raise ImpossibleTarget(
                f"Method 'solar' can't make {target_layers} layers of {source_layers}: it takes {source_layers} twice, "
                "less equally many at each side of the seam.",
                field="/target/num_hidden_layers",
                hint=f'Ask for an even number up to {2 * source_layers}, or for the depth method "stack".',
                nearest={"num_hidden_layers": min(target_layers + 1, 2 * source_layers)},
            )
        kept = target_layers // 2
        dropped = source_layers - kept
        return Depth((*range(kept), *range(dropped, source_layers)), exact=False)


@dataclass(frozen=True)
class Identity(DepthMethod):
    """Copies that add nothing to the residual stream until trained: their output projections are zero."""

    name = "identity"
    summary = "Adds identity blocks: copies of layers whose output projections are zero."
    paper = "LLaMA-Pro (arXiv 2401.02415), LEMON (arXiv 2310.07999)"

    def deepen(self, source_layers: int, target_layers: int, growth: Growth) -> Depth:
        if growth.source.norm.post:
            raise ImpossibleTarget(
                f"Blocks of {growth.source.architecture.model_type} normalise the residual stream itself (post-LN), so "
                "an added layer can't be an identity block.",
                field="/target/num_hidden_layers",
                hint='Take the depth method "stack", or the method "ligo".',
                nearest={"num_hidden_layers": source_layers},
            )
        order = interleaved(source_layers, target_layers)
        repeats = frozenset(layer for layer in range(1, target_layers) if order[layer] == order[layer - 1])
        return Depth(order, exact=True, silent=repeats)


def interleaved(source_layers: int, target_layers: int) -> tuple[int, ...]:
    """Layer l copies floor(l L_S / L_T)."""
    return tuple(layer * source_layers // target_layers for layer in range(target_layers))
