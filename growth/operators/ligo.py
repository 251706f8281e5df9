"""LiGO: the operator's factors are learned on the model's own loss, starting from any closed-form method."""

from dataclasses import dataclass, replace
from typing import Literal

from growth.errors import ImpossibleTarget, InvalidMethod
from growth.operators.method import Built, Growth, Method, Nested
from growth.operators.options import option
from growth.operators.structure import Attention, Share, Structure, Tie


@dataclass(frozen=True)
class Ligo(Method):
    """Source: LiGO (arXiv 2303.00980), section 3; maps and depth matrices shared as its authors' code does."""

    name = "ligo"
    summary = "Learns the width maps and the depth mixing on data, in a few dozen steps."
    paper = "arXiv 2303.00980"
    fits = True

    init: Nested | None = option(
        None,
        "The closed-form method the fit starts from, by name or with its options; null is lemon where that copies "
        "units and preserves the function, else pad.",
        nested=True,
    )
    steps: int = option(100, "Optimizer steps of the fit.", minimum=1, maximum=1_000_000)
    batch_size: int = option(16, "Sequences per step.", minimum=1, maximum=65_536)
    width_learning_rate: float = option(2e-4, "Peak learning rate of the width maps.", minimum=0, maximum=1)
    depth_learning_rate: float = option(1e-2, "Peak learning rate of the depth matrices.", minimum=0, maximum=1)
    warmup_fraction: float = option(0.1, "Share of the steps that warm up; the rest decays.", minimum=0, maximum=0.9)
    decay: Literal["linear", "cosine", "none"] = option("linear", "How the rate falls after warm-up.")
    weight_decay: float = option(0.0, "AdamW's weight decay on the maps.", minimum=0, maximum=10)
    gradient_clip: float = option(1.0, "Largest norm of the operator's gradient; 0 is no clipping.", minimum=0)
    objective: Literal["auto", "own", "match"] = option(
        "auto",
        "What is lowered: the model's own loss, or the distance of its hidden states from the source's; auto takes "
        "the former where the source has a head.",
    )
    optimizer: Literal["adamw", "sgd"] = option("adamw", "What moves the operator; sgd has a momentum of 0.9.")
    gradient_accumulation: int | None = option(
        None,
        "Parts in which a step's batch is run one after the other; null is one on a GPU, and on a CPU, where smaller "
        "parts take no longer, so many that each has about 1024 tokens.",
        minimum=1,
        maximum=65_536,
    )
    share: Share = option(
        "model", "`model`: all layers grow by the same width maps; `layer`: heads and FFN of each module by its own."
    )
    tie: Tie = option(
        "untied",
        "How what reads an axis follows what produces it: by a map of its own (`untied`), by the same update "
        "(`transposed`), or by the same with its columns scaled, so that readers of copies take their mean "
        "(`normalised`).",
    )
    attention: Attention = option("heads", "Whether attention maps mix whole heads, or all units of all heads.")
    rank: int | None = option(
        64,
        "Rank of what is learned of the FFN's map, where that is fewer numbers than its new rows; null is full.",
        minimum=1,
        maximum=65_536,
    )
    residual: bool = option(True, "Whether the init's random new units stay, as they are, under what is learned.")
    residual_groups: int = option(
        4,
        "Groups of those new units, each of which reads its own part of a layer's input, so that a step costs less; 1 "
        "lets all read everything, as the init does.",
        minimum=1,
        maximum=64,
    )
    autocast: Literal["bfloat16"] | None = option(None, "Runs the module's products in bfloat16.")
    activation_checkpointing: Literal["none", "selective", "full"] = option(
        "selective",
        "What a block computes again on the way back: nothing, all but its products with weights, or everything.",
    )
    form: Literal["auto", "factored", "materialised"] = option(
        "auto", "Whether grown matrices are applied as factors, written out in every step, or whichever costs less."
    )
    held_out_every: int = option(25, "Steps between measurements of the held-out loss.", minimum=1, maximum=1_000_000)
    operator: str | None = option(
        None, "URI of a fitted operator.safetensors: it is applied as it is, without a fit or data."
    )

    def build(self, growth: Growth) -> Built:
        if not growth.widens and growth.layers[0] == growth.layers[1]:
            raise ImpossibleTarget("The target has the source's own sizes, so there is nothing to fit; ask for larger.")
        init, built = self._started(growth)
        noise = built.operator.noise if self.residual else None
        grouped = noise and replace(noise, groups=self.residual_groups)
        operator = replace(built.operator, noise=grouped)
        return replace(built, operator=operator, function_preserving=False, method=replace(self, init=init))

    def _started(self, growth: Growth) -> tuple[Nested, Built]:
        """The init, and what it builds."""
        from growth.operators import parse_method

        if self.init is None:
            return _exact_copies(growth) or ("pad", parse_method("pad").build(growth))
        start = parse_method(self.init, "/method/init")
        if start.fits or start.name in ("random", "auto"):
            raise InvalidMethod(
                f"Method 'ligo' can't start from {start.name!r}; name a closed-form method, such as pad or lemon.",
                field="/method/init",
            )
        return self.init, start.build(growth)

    def matches(self, *, headed: bool) -> bool:
        """Whether a fit brings hidden states near the source's, for a source with a head or without one."""
        return self.objective == "match" or (self.objective == "auto" and not headed)

    @property
    def structure(self) -> Structure:
        """What of the operator is learned."""
        return Structure(self.share, self.tie, self.attention, self.rank)


def _exact_copies(growth: Growth) -> tuple[Nested, Built] | None:
    """Lemon, where it copies units and the function stays: a residual that reads everything would cost the fit much."""
    from growth.operators import parse_method

    try:
        built = parse_method("lemon").build(growth)
    except ImpossibleTarget:
        return None
    return ("lemon", built) if built.function_preserving and built.operator.noise is None else None
