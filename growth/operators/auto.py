"""The method that picks another one, by what is to grow, what the family allows, and what is known to train best.

| what grows       | the function may change         | it must stay           |
|------------------|---------------------------------|------------------------|
| width            | `pad`                           | `lemon`                |
| layers           | `stack`, `solar`, `interpolate` | `identity`             |
| width and layers | `pad` with each of these orders | `lemon` and `identity` |

Between methods of one cell a held-out loss decides, where there is one, and their order where there is none. Between
cells it does not: the loss right after growth does not tell how well a model trains from there.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from growth.errors import ImpossibleTarget
from growth.operators.method import Built, Growth, Method
from growth.operators.options import option
from growth.operators.selection import Candidate, Selection

_ORDERS = ("stack", "solar", "interpolate")
_EXACTLY = (
    "The function must stay: lemon keeps it at every ratio that the family allows, and parts the copies of a unit."
)
_IDENTITIES = "The function must stay, so added layers are identity blocks."
_WIDER = "Fresh random units train better than copies, although the loss right after growth is higher."
_DEEPER = "Added layers are copies of trained ones, whose order is open."
_NOTHING = "Nothing grows, so every weight is copied as it is."


@dataclass(frozen=True)
class Auto(Method):
    """Builds every method that the rule names, and takes the first that can reach the target."""

    name = "auto"
    summary = "Picks a method by rule, by held-out loss where the rule leaves a choice, and says why."
    paper = "none"

    function_preserving: bool = option(False, "Whether the grown model must compute the source's function.")

    def build(self, growth: Growth) -> Built:
        rule = _Rule(growth, self.function_preserving)
        named = [_Tried.of(method, growth) for method in rule.named()]
        possible = [tried for tried in named if tried.built is not None]
        if not possible:
            assert named[0].error is not None
            raise named[0].error
        alternatives = [_Tried.of(method, growth) for method in rule.alternatives()]
        distinct = list(_distinct(possible))
        selection = Selection(
            label=distinct[0].label,
            method=distinct[0].method.described(),
            reason=rule.reason(),
            candidates=tuple(tried.candidate(is_open=tried in distinct) for tried in (*named, *alternatives)),
        )
        built = distinct[0].built
        assert built is not None
        notes = (*selection.notes(), *built.notes)
        return replace(built, notes=notes, method=distinct[0].method, selection=selection)


class _Rule:
    """What may be picked for one growth; methods are named with their order of layers where layers are added."""

    def __init__(self, growth: Growth, exact: bool) -> None:
        self._wider = growth.widens
        self._deeper = growth.layers[0] != growth.layers[1]
        self._exact = exact

    def named(self) -> list[dict[str, str]]:
        """The methods between which a loss may decide, in the order of preference."""
        if not self._wider:
            orders = _ORDERS if self._deeper and not self._exact else ("identity",)
            return [{"name": order} for order in orders]
        if self._exact:
            return [self._exactly("lemon")]
        return [_pair("pad", order) for order in (_ORDERS if self._deeper else ("",))]

    def alternatives(self) -> list[dict[str, str]]:
        """Methods that are not picked, for what it says whether they could be."""
        if not self._wider:
            return [{"name": "identity"}] if self._deeper and not self._exact else []
        return [self._exactly("hypercloning" if self._exact else "lemon")]

    def reason(self) -> str:
        if not self._wider and not self._deeper:
            return _NOTHING
        if self._exact:
            return _EXACTLY if self._wider else _IDENTITIES
        return " ".join([_WIDER] * self._wider + [_DEEPER] * self._deeper)

    def _exactly(self, width: str) -> dict[str, str]:
        return _pair(width, "identity" if self._deeper else "")


def _pair(width: str, order: str) -> dict[str, str]:
    """A width method with its order of layers where there is one; copies are parted where it makes any."""
    split = {} if width == "pad" else {"split": "unequal"}
    return {"name": width, **({"depth": order} if order else {}), **split}


@dataclass(frozen=True, slots=True)
class _Tried:
    """A method and what became of it: it was built, or it refused the target."""

    label: str
    method: Method
    built: Built | None
    error: ImpossibleTarget | None

    @classmethod
    def of(cls, named: dict[str, str], growth: Growth) -> "_Tried":
        from growth.operators import parse_method

        method, label = parse_method({**named}), " + ".join(named[key] for key in ("name", "depth") if key in named)
        try:
            return cls(label, method, method.build(growth), None)
        except ImpossibleTarget as error:
            return cls(label, method, None, error)

    def candidate(self, *, is_open: bool) -> Candidate:
        refusal = "" if self.error is None else str(self.error)
        return Candidate(self.label, self.method.described(), open=is_open, refusal=refusal)


def _distinct(possible: list[_Tried]) -> Iterator[_Tried]:
    """Those whose growth is no earlier one's: at a doubling `solar` is `stack`."""
    known: list[object] = []
    for tried in possible:
        assert tried.built is not None
        if tried.built.operator not in known:
            known.append(tried.built.operator)
            yield tried
