"""How a program ends whose settings can't be used: with a sentence for each, which names the setting.

What was given is left out, because passwords are among it; only URIs of storage are shown, which hold none.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError
from pydantic_settings import SettingsError

REFUSED = 2
_OF_OURS = "Value error, "
_FIELD = re.compile(r'field "(\w+)"')


@contextmanager
def starting() -> Iterator[None]:
    """Around what a main function builds from its settings. Raises SystemExit for a ValueError or RuntimeError."""
    try:
        yield
    except ValidationError as error:
        _end("\n".join(sentences(error)))
    except SettingsError as error:
        named = _FIELD.search(str(error))
        _end(f"GROW_{named[1].upper()} can't be used: it is not the JSON that it should be." if named else str(error))
    except (ValueError, RuntimeError) as error:
        _end(str(error))


def sentences(error: ValidationError, whole: str | None = None) -> list[str]:
    """What is wrong with settings, or inside of the one thing that `whole` names."""
    told = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = [str(part) for part in found["loc"]]
        name = whole or (f"GROW_{place.pop(0).upper()}" if place else None)
        message = found["msg"].removeprefix(_OF_OURS).removesuffix(".")
        where = f" at /{'/'.join(place)}" if place else ""
        told.append(f"{message}." if name is None else f"{name} can't be used{where}: {message}.")
    return told


def _end(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    raise SystemExit(REFUSED)
