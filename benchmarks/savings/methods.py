"""The growths that are compared, by model."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from growth.operators import parse_method

RANDOM = json.dumps({"name": "random"})
NEVER = 1_000_000
"""The held-out loss inside of a fit is not asked for."""


@dataclass(frozen=True)
class Entry:
    """One row of the table."""

    label: str
    method: Mapping[str, Any] = field(hash=False)
    once: bool = False
    """Whether one seed is enough: it is dominated, or another row in all but the order of units."""

    @property
    def text(self) -> str:
        """The method as it stands in a run."""
        return json.dumps(self.method, sort_keys=True)

    @property
    def fits(self) -> bool:
        """Whether it learns its operator."""
        return parse_method(dict(self.method)).fits


def _entry(label: str, name: str, *, once: bool = False, **options: Any) -> Entry:
    return Entry(label, {"name": name, **options}, once)


def _ligo(
    label: str, steps: int, init: str | Mapping[str, Any] = "pad", *, once: bool = False, **options: Any
) -> Entry:
    return _entry(label, "ligo", once=once, init=init, steps=steps, held_out_every=NEVER, **options)


NOISY: Mapping[str, Any] = {"name": "hypercloning", "snr_db": 10}
PAD = _entry("pad, stack", "pad")
LEMON = _entry("lemon, identity (hypercloning, unequal split)", "lemon")
LLAMA = (
    LEMON,
    PAD,
    _entry("hypercloning, identity", "hypercloning"),
    _entry("hypercloning, noise of 10 dB, identity", "hypercloning", snr_db=10),
    _entry("lemon, stack", "stack", width="lemon", once=True),
    _entry("pad, interpolate", "interpolate", width="pad", once=True),
    _entry("hypercloning, stack", "stack", width="hypercloning", once=True),
    _entry("hypercloning, interpolate", "interpolate", width="hypercloning", once=True),
    _entry("pad, identity", "identity", width="pad", once=True),
    _entry("net2net, identity", "net2net", once=True),
    _entry("bert2bert, unequal split, stack", "bert2bert", split="unequal", once=True),
    _entry("hypercloning, noise of -6 dB, identity", "hypercloning", snr_db=-6, once=True),
    _ligo("ligo from lemon, 25 steps", 25, "lemon"),
    _ligo("ligo from hypercloning with noise of 10 dB, 25 steps", 25, NOISY),
    _ligo("ligo from pad, 50 steps", 50, once=True),
)
LLAMA_SMALL = (
    LEMON,
    _entry("hypercloning, noise of 10 dB, identity", **NOISY),
    PAD,
    _entry("lemon, stack", "stack", width="lemon"),
    _ligo("ligo from pad, 50 steps", 50),
    _ligo("ligo from lemon, 25 steps", 25, "lemon", once=True),
)
_ANY = (
    PAD,
    _entry("lemon, stack", "stack", width="lemon"),
    _entry("hypercloning, stack", "stack", width="hypercloning", once=True),
    _entry("lemon, interpolate", "interpolate", width="lemon", once=True),
    _entry("pad, interpolate", "interpolate", width="pad", once=True),
    _entry("lemon, solar", "solar", width="lemon", once=True),
    _entry("bert2bert, unequal split, stack", "bert2bert", split="unequal", once=True),
    _ligo("ligo from pad, 50 steps", 50),
)
PRE_LN = (
    *_ANY,
    LEMON,
    _entry("hypercloning, identity", "hypercloning", once=True),
    _entry("hypercloning, noise of 10 dB, identity", **NOISY),
    _entry("pad, identity", "identity", width="pad", once=True),
    _entry("net2net, identity", "net2net", once=True),
    _ligo("ligo from lemon, 25 steps", 25, "lemon"),
)
POST_LN = (
    *_ANY,
    _entry("hypercloning, noise of 10 dB, stack", **NOISY, depth="stack"),
    _entry("net2net, stack", "net2net", depth="stack", once=True),
    _ligo("ligo from lemon and stack, 25 steps", 25, {"name": "lemon", "depth": "stack"}),
)
TINY = (PAD, LEMON, _ligo("ligo from pad, 2 steps", 2))
