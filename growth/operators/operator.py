"""A growth operator: one pair of linear maps per axis, one matrix over layers, and a seeded residual."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from growth.axes import LAYER, Parameter
from growth.operators.maps import AxisMap

EVERY = "*"
WRITES = "*writes"


class DepthMatrix(Protocol):
    """A matrix [target layers, source layers]: a `DepthMap`, or a dense one that a fit has learned."""

    @property
    def source_layers(self) -> int: ...
    @property
    def target_layers(self) -> int: ...


@dataclass(frozen=True, slots=True)
class DepthMap:
    """A sparse depth matrix: for each target layer the source layers it mixes, with their weights."""

    rows: tuple[tuple[tuple[int, float], ...], ...]
    source_layers: int

    @classmethod
    def copies(cls, order: tuple[int, ...], source_layers: int, silent: frozenset[int] = frozenset()) -> "DepthMap":
        """Target layer l copies source layer `order[l]`; the layers in `silent` take nothing."""
        rows = tuple(() if layer in silent else ((source, 1.0),) for layer, source in enumerate(order))
        return cls(rows, source_layers)

    @property
    def target_layers(self) -> int:
        return len(self.rows)


class NoiseKind(Enum):
    """Where the seeded residual goes."""

    NEW_UNITS = "new_units"
    """New rows of matrices and new columns of embeddings: fresh random units that old rows do not read."""
    NULL_SPACE = "null_space"
    """The part of each matrix that no grown activation reaches: symmetry breaks, the function stays."""
    INITIAL = "initial"
    """Every tensor, at the family's own initialisation; the source is not read."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A random residual, never stored: regenerated from the seed and the tensor's name."""

    kind: NoiseKind
    seed: int
    order: tuple[int, ...]
    """The source layer whose tensor's standard deviation sets the scale, for each target layer."""
    scale: float = 1.0
    """Standard deviation, in units of the source tensor's."""
    column_scale: Mapping[str, float] = field(default_factory=dict)
    """A further factor for tensors that read an axis: by how much copies shrink the columns."""
    groups: int = 1
    """Of new units: each group of a layer's reads a part of its input of its own."""
    frame: Mapping[str, AxisMap] = field(default_factory=dict)
    """The closed-form maps that tell new units and unreached directions; a fit moves `axes`, never these."""


@dataclass(frozen=True, slots=True)
class GrowthOperator:
    """Everything that turns the source's tensors into the target's.

    A weight grows as `expand_out @ (sum_k depth[l, k] W_k) @ contract_in.T` plus the residual.
    """

    axes: Mapping[str, AxisMap]
    """By axis label, for the axes that grow; a product of axes, `heads*head_dim` say, may have a map of its own, which
    stands before those of its axes. `label@module` overrides it for one module, its name written with
    `{layer}` for every layer or with a number for one."""
    depth: Mapping[str, DepthMatrix]
    """By parameter name (with `{layer}`); `*writes` for all that write to the residual stream, `*` for the rest."""
    noise: Noise | None = None
    readout_scale: float = 1.0
    """Factor on the norm before a tied head, whose copies of a unit would otherwise be counted twice."""
    epsilon_scale: float = 1.0
    """Factor on the config's norm epsilon."""
    next_depth: DepthMatrix | None = None
    """Where set, the new rows of layered weights and biases are taken through this matrix instead (AKI)."""

    def axis_map(self, axis: str, parameter: Parameter, layer: int | None) -> AxisMap | None:
        """The map of `axis` for this tensor, or None where the axis keeps its size."""
        module = parameter.name.rpartition(".")[0]
        for key in (f"{axis}@{module.replace(LAYER, str(layer))}", f"{axis}@{module}", axis):
            if key in self.axes:
                return self.axes[key]
        return None

    def depth_matrix(self, parameter: Parameter) -> DepthMatrix:
        """The matrix that mixes this parameter's layers."""
        assert parameter.layered
        if parameter.name in self.depth:
            return self.depth[parameter.name]
        return self.depth[WRITES] if parameter.writes_residual and WRITES in self.depth else self.depth[EVERY]
