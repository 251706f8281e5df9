"""The images: clean to a linter, built from files that reach the build, running as nobody special."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.deploy.manifests import DOCKERFILES, ROOT, SETTINGS, variables_of

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
every_dockerfile = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)


def _instructions(file: Path) -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^\s*#.*\n", "", file.read_text()).replace("\\\n", " ")
    split = (line.split(maxsplit=1) for line in text.splitlines() if line.strip())
    return [(name, rest) for name, rest in split]


def _copied(file: Path) -> list[str]:
    return [path for name, rest in _instructions(file) if name == "COPY" for path in rest.split()[:-1]]


def test_there_are_two() -> None:
    assert [file.stem for file in DOCKERFILES] == ["service", "worker"]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has no build for this machine")
@every_dockerfile
def test_is_clean(file: Path) -> None:
    assert HADOLINT is not None
    checked = subprocess.run([HADOLINT, str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@every_dockerfile
def test_what_is_copied_reaches_the_build(file: Path) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    for path in _copied(file):
        assert (ROOT / path).exists()
        assert path in let_in


@every_dockerfile
def test_the_whole_package_is_in_the_image(file: Path) -> None:
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    shipped = {name for name in packages if any(fnmatch(name, pattern) for pattern in find["include"])}
    assert shipped <= set(_copied(file))


@every_dockerfile
def test_installs_its_own_extra_under_the_constraints(file: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    installs = [rest for name, rest in _instructions(file) if name == "RUN" and "pip install" in rest]
    assert f"'.[{file.stem}]'" in installs[0]
    assert "--constraint constraints.txt" in installs[0]
    assert file.stem in extras


@every_dockerfile
def test_runs_as_an_ordinary_user_and_tells_its_health(file: Path) -> None:
    instructions = dict(_instructions(file))
    assert instructions["USER"] == "10001:10001"
    assert "CMD" in instructions["HEALTHCHECK"]


@every_dockerfile
def test_its_variables_are_settings(file: Path) -> None:
    given = {match for name, rest in _instructions(file) if name == "ENV" for match in re.findall(r"GROW_\w+", rest)}
    assert given
    assert given <= variables_of(SETTINGS[file.stem])


def test_the_service_is_a_module_here() -> None:
    service, worker = (dict(_instructions(file))["CMD"] for file in DOCKERFILES)
    assert service == '["python", "-m", "service"]'
    assert find_spec("service.__main__")
    assert '"-A", "worker.app", "worker"' in worker
    assert find_spec("worker.app")


def test_the_service_needs_no_torch() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert not any(name.startswith(("torch", "transformers", "model-growth")) for name in extras["service"])
