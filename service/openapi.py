"""`python -m service.openapi PATH` writes the description of a service with keys: the same bytes for the same app."""

import sys
from pathlib import Path

import yaml

from service.app import create_app
from service.description import describe
from service.settings import ServiceSettings


def as_yaml() -> str:
    """The OpenAPI document, its keys in the order of the code."""
    document = describe(create_app(ServiceSettings()), keyed=True)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def main(arguments: list[str]) -> int:
    """Writes to the one path in `arguments`; the exit status."""
    if len(arguments) != 1:
        print("Usage: python -m service.openapi PATH", file=sys.stderr)  # noqa: T201
        return 2
    Path(arguments[0]).write_text(as_yaml(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
