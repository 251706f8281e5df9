"""The growth engine: maps the parameters of a source model to those of a larger target model.

`from growth import grow` is all of it in one call; see `growth.library.grow` for what it takes and returns.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growth.library import grow

__all__ = ["grow"]


def __getattr__(name: str) -> object:
    # Late, because it takes torch, which the service that plans growths does without.
    if name == "grow":
        from growth.library import grow

        return grow
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
