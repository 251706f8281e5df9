"""Writes every picture into a folder, `docs/images` where none is named."""

import sys
from pathlib import Path

from reference.pictures.drawing import Drawing
from reference.pictures.processes import processes
from reference.pictures.request import request
from reference.pictures.states import states
from reference.pictures.table import table


def pictures() -> dict[str, Drawing]:
    """The drawings by the names of their files."""
    drawn = {"processes": processes(), "request": request(), "states": states(), "table": table()}
    return {f"architecture-{name}.svg": drawing for name, drawing in drawn.items()}


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    for name, drawing in pictures().items():
        (folder / name).write_text(drawing.svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
