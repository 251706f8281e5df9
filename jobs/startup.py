"""How a program ends whose settings can't be used: with a sentence for each, which names the setting.

The value is never shown, because passwords are among them, and a slip of the pen may put one anywhere.
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
        _end("\n".join(sentences(error, "GROW_")))
    except SettingsError as error:
        named = _FIELD.search(str(error))
        _end(f"GROW_{named[1].upper()} can't be used: it is not the JSON that it should be." if named else str(error))
    except (ValueError, RuntimeError) as error:
        _end(str(error))


def sentences(error: ValidationError, named: str) -> list[str]:
    """What is wrong, and with what: `named` is the start of the settings' names, or the whole name of the only one."""
    told = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        place = [str(part) for part in found["loc"]]
        name = f"{named}{place.pop(0).upper()}" if named.endswith("_") and place else named
        message = found["msg"].removeprefix(_OF_OURS).removesuffix(".")
        where = f" at /{'/'.join(place)}" if place else ""
        told.append(f"{message}." if name == "GROW_" else f"{name} can't be used{where}: {message}.")
    return told


def _end(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    raise SystemExit(REFUSED)
