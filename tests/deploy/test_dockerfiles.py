"""The images: clean to a linter, built of files that reach the build, locked by hash, running as nobody special."""

import re
import shutil
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.deploy.dockerfile import instructions, stages, whole
from tests.deploy.manifests import DOCKERFILES, ROOT, SETTINGS, variables_of

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent))
SERVICE, WORKER = DOCKERFILES
BUILDS = [(SERVICE, "build", "service"), (WORKER, "build-cpu", "worker-cpu"), (WORKER, "build-cuda", "worker-cuda")]
IMAGES = [(SERVICE, "final", "build"), (WORKER, "cpu", "build-cpu"), (WORKER, "cuda", "build-cuda")]
every_dockerfile = pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
every_build = pytest.mark.parametrize(("file", "stage", "lock"), BUILDS, ids=[lock for *_, lock in BUILDS])
every_image = pytest.mark.parametrize(("file", "stage", "build"), IMAGES, ids=[build for *_, build in IMAGES])


def _copied(file: Path, stage: str) -> list[str]:
    return [path for name, rest in whole(file, stage) if name == "COPY" for path in rest.split()[:-1]]


def test_there_are_two() -> None:
    assert [file.stem for file in DOCKERFILES] == ["service", "worker"]


@pytest.mark.skipif(HADOLINT is None, reason="hadolint has no build for this machine")
@every_dockerfile
def test_is_clean(file: Path) -> None:
    assert HADOLINT is not None
    checked = subprocess.run([HADOLINT, str(file)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@every_build
def test_what_is_copied_reaches_the_build(file: Path, stage: str, lock: str) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    for path in _copied(file, stage):
        assert (ROOT / path).exists()
        assert path in let_in or str(Path(path).parent) in let_in


@every_build
def test_the_whole_package_is_in_the_image(file: Path, stage: str, lock: str) -> None:
    find = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    shipped = {name for name in packages if any(fnmatch(name, pattern) for pattern in find["include"])}
    assert shipped <= set(_copied(file, stage))


@every_build
def test_nothing_is_installed_but_what_its_lock_has(file: Path, stage: str, lock: str) -> None:
    assert f"docker/locks/{lock}.txt" in _copied(file, stage)
    installs = [rest for name, rest in whole(file, stage) if name == "RUN" and "pip" in rest]
    assert len(installs) == 2
    assert {"--require-hashes", "--no-deps"} <= set(installs[0].split())
    # Our own package: from its sources, with a build backend of the lock.
    assert {"--no-index", "--no-build-isolation", "--no-deps", "."} <= set(installs[1].split())


@every_image
def test_an_image_is_its_base_and_the_environment_that_was_built(file: Path, stage: str, build: str) -> None:
    found = whole(file, stage)
    assert [rest for name, rest in found if name == "COPY"] == [f"--from={build} /opt/venv /opt/venv"]
    assert [rest for name, rest in found if name == "RUN"] == ["useradd --uid 10001 --create-home grow"]


@every_image
def test_runs_as_an_ordinary_user_and_tells_its_health(file: Path, stage: str, build: str) -> None:
    found = dict(whole(file, stage))
    assert found["USER"] == "10001:10001"
    assert "CMD" in found["HEALTHCHECK"]
    assert "CMD" in found


def test_the_image_without_a_target_is_for_gpus() -> None:
    assert list(stages(WORKER))[-1] == "cuda"


@every_dockerfile
def test_the_base_is_pinned_and_can_be_replaced(file: Path) -> None:
    (argument, base), *_ = instructions(file)
    assert argument == "ARG"
    assert re.fullmatch(r"BASE_IMAGE=python:3\.11\.\d+-slim-\w+", base)
    named = set(stages(file))
    assert {stage.base for stage in stages(file).values()} - named == {"${BASE_IMAGE}"}


@every_dockerfile
def test_its_variables_are_settings(file: Path) -> None:
    given = {match for name, rest in instructions(file) if name == "ENV" for match in re.findall(r"GROW_\w+", rest)}
    assert given
    assert given <= variables_of(SETTINGS[file.stem])


def test_the_service_is_a_module_here() -> None:
    service, worker = (dict(instructions(file))["CMD"] for file in DOCKERFILES)
    assert service == '["python", "-m", "service"]'
    assert find_spec("service.__main__")
    assert '"-A", "worker.app", "worker"' in worker
    assert find_spec("worker.app")
