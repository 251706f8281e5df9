"""What a fit learns of an operator: which maps layers share, how readers follow producers, and of what rank."""

from dataclasses import dataclass
from typing import Literal

Share = Literal["model", "layer"]
Tie = Literal["untied", "transposed", "normalised"]
Attention = Literal["heads", "dense"]


@dataclass(frozen=True, slots=True)
class Structure:
    """What an operator learns. Source: LiGO (arXiv 2303.00980), section 3.2, and its authors' code."""

    share: Share = "model"
    """Whether all layers grow by the same maps, or the heads and the intermediate units of each module by its own."""
    tie: Tie = "untied"
    """Whether what reads an axis moves by a map of its own, or as what produces it does: `transposed` by the very same
    update, `normalised` with its columns scaled so that a reader of copies of a unit takes their mean."""
    attention: Attention = "heads"
    """Whether attention maps mix whole heads, or all units of all heads."""
    rank: int | None = None
    """Rank of what is learned of the maps of `intermediate`; None is full."""
