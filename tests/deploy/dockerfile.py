"""A Dockerfile as data, and its build replayed without a Docker engine: what is copied, and what is run, in order."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.deploy.manifests import ROOT

VENV, SOURCES = "/opt/venv", "/src"


@dataclass(frozen=True)
class Stage:
    name: str
    base: str
    instructions: list[tuple[str, str]]


def instructions(file: Path) -> list[tuple[str, str]]:
    """Each with what follows it, comments left out and lines joined."""
    text = re.sub(r"(?m)^\s*#.*\n", "", file.read_text()).replace("\\\n", " ")
    split = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, rest) for name, rest in split]


def stages(file: Path) -> dict[str, Stage]:
    """The stages by name; the last one, where it has none, is named `final`."""
    found: dict[str, Stage] = {}
    for name, rest in instructions(file):
        if name == "FROM":
            base, _, alias = rest.partition(" AS ")
            current = Stage(alias or "final", base, [])
            found[current.name] = current
        elif found:
            current.instructions.append((name, rest))
    return found


def whole(file: Path, stage: str) -> list[tuple[str, str]]:
    """The instructions of a stage, behind those of the stages of this file that it starts from."""
    every = stages(file)
    here = every[stage]
    return (whole(file, here.base) if here.base in every else []) + here.instructions


def replay(file: Path, stage: str, folder: Path) -> Path:
    """Builds a stage below `folder`, where it stands in for the image's root; gives its virtual environment."""
    venv, sources = folder / "venv", folder / "src"
    sources.mkdir()
    environment = {**os.environ, "PATH": f"{venv}/bin:{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    for name, rest in whole(file, stage):
        if name == "COPY":
            *given, target = rest.split()
            for path in given:
                _copy(ROOT / path, sources / target)
        elif name == "RUN":
            command = rest.replace(VENV, str(venv)).replace("python3 -m venv", f"{_python()} -m venv")
            subprocess.run(["sh", "-ec", command], cwd=sources, env=environment, check=True, stdin=subprocess.DEVNULL)
    return venv


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target)
    else:
        shutil.copy(path, target)


def _python() -> str:
    found = shutil.which("python3.11")
    assert found is not None, "the locks are for Python 3.11"
    return found
