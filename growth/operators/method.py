"""What a growth method is: options, and the operator it builds from nothing but the two models' sizes."""

import random
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growth.axes import axis_sizes
from growth.config import ModelConfig, Sizes
from growth.errors import ImpossibleTarget
from growth.operators.maps import AxisMap
from growth.operators.operator import EVERY, WRITES, DepthMap, GrowthOperator, Noise, NoiseKind
from growth.operators.options import option
from growth.operators.selection import Selection

Nested = str | dict[str, Any]


@dataclass(frozen=True, slots=True)
class Growth:
    """From what to what: the source model, the target's sizes, the seed."""

    source: ModelConfig
    target: Sizes
    seed: int

    def axis(self, name: str) -> tuple[int, int]:
        """Source and target size of an axis."""
        return axis_sizes(self.source.sizes)[name], axis_sizes(self.target)[name]

    @property
    def layers(self) -> tuple[int, int]:
        """Source and target number of layers."""
        return self.source.sizes.num_hidden_layers, self.target.num_hidden_layers

    @property
    def widens(self) -> bool:
        """Whether any axis grows."""
        return axis_sizes(self.source.sizes) != axis_sizes(self.target)

    def random(self, purpose: str) -> random.Random:
        """A generator of its own for each purpose, so that one draw never shifts another."""
        return random.Random(f"{self.seed}/{purpose}")  # noqa: S311


@dataclass(frozen=True, slots=True)
class Width:
    """The width part of an operator."""

    axes: Mapping[str, AxisMap]
    exact: bool
    """Whether it preserves the function."""
    noise: NoiseKind | None = None
    noise_scale: float = 1.0
    column_scale: Mapping[str, float] | None = None
    readout_scale: float = 1.0
    epsilon_scale: float = 1.0
    padded: bool = False
    """Whether `hidden` has units that nothing is written to."""
    new_rows_from_next_layer: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Depth:
    """The depth part of an operator."""

    order: tuple[int, ...]
    """The source layer that each target layer copies."""
    exact: bool
    silent: frozenset[int] = frozenset()
    """Target layers that are identity blocks."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Built:
    """A method's operator, and what is known of it before any weight is read."""

    operator: GrowthOperator
    order: tuple[int, ...]
    """The source layer that stands behind each target layer, for entries of the config that are lists over layers."""
    function_preserving: bool
    notes: tuple[str, ...] = ()
    method: "Method | None" = None
    """The one that the method asked for picked in its place."""
    selection: Selection | None = None
    """How it was picked."""


class Method(ABC):
    """A growth method; its dataclass fields are its options."""

    name: ClassVar[str]
    summary: ClassVar[str]
    paper: ClassVar[str]
    fits: ClassVar[bool] = False
    """Whether the operator is learned on data."""

    @abstractmethod
    def build(self, growth: Growth) -> Built:
        """The operator from source to target.

        Raises ImpossibleTarget, with the nearest sizes that work, where the method can't reach the target.
        """

    def described(self) -> dict[str, Any]:
        """The method's name and every option, defaults filled in."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class WidthMethod(Method):
    """A method that widens; another one adds the layers."""

    depth: Nested = option("identity", "The depth method that adds layers, by name or with its options.", nested=True)

    @abstractmethod
    def widen(self, growth: Growth) -> Width:
        """The maps of every axis that grows."""

    def build(self, growth: Growth) -> Built:
        from growth.operators import depth_method

        return compose(growth, self.widen(growth), depth_method(self.depth).order(growth))


@dataclass(frozen=True)
class DepthMethod(Method):
    """A method that adds layers; another one widens."""

    width: Nested | None = option(
        None, "The width method for a wider target, by name or with its options.", nested=True
    )

    @abstractmethod
    def deepen(self, source_layers: int, target_layers: int, growth: Growth) -> Depth:
        """Which source layer each of more target layers copies."""

    def order(self, growth: Growth) -> Depth:
        """The depth part; nothing to do where the target has as many layers as the source."""
        source, target = growth.layers
        if source == target:
            return Depth(tuple(range(source)), exact=True)
        return self.deepen(source, target, growth)

    def build(self, growth: Growth) -> Built:
        from growth.operators import width_method

        if self.width is not None:
            return compose(growth, width_method(self.width).widen(growth), self.order(growth))
        if growth.widens:
            raise ImpossibleTarget(
                f"Method {self.name!r} adds layers alone, and the target is wider than the source.",
                hint=f'Name a width method too: {{"name": "{self.name}", "width": "hypercloning"}}.',
                nearest=growth.source.sizes.as_dict() | {"num_hidden_layers": growth.target.num_hidden_layers},
            )
        return compose(growth, Width({}, exact=True), self.order(growth))


def compose(growth: Growth, width: Width, depth: Depth) -> Built:
    """One operator from its width and its depth part."""
    source_layers = growth.layers[0]
    copies = DepthMap.copies(depth.order, source_layers)
    matrices = {EVERY: copies}
    if depth.silent:
        matrices[WRITES] = DepthMap.copies(depth.order, source_layers, depth.silent)
    noise = None
    if width.noise is not None:
        columns = dict(width.column_scale or {})
        noise = Noise(width.noise, growth.seed, depth.order, width.noise_scale, columns, frame=dict(width.axes))
    following = tuple(min(source + 1, source_layers - 1) for source in depth.order)
    operator = GrowthOperator(
        axes=dict(width.axes),
        depth=matrices,
        noise=noise,
        readout_scale=width.readout_scale,
        epsilon_scale=width.epsilon_scale,
        next_depth=DepthMap.copies(following, source_layers) if width.new_rows_from_next_layer else None,
    )
    return Built(operator, depth.order, width.exact and depth.exact, (*width.notes, *depth.notes))
