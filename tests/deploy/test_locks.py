"""The images' locks: whole, hashed, of the versions that the tests run with, and for the service without torch."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.manifests import ROOT

LOCKS = ROOT / "docker" / "locks"
EXTRAS = {
    "service": ("service", "traces"),
    "worker-cpu": ("worker", "traces", "mlflow"),
    "worker-cuda": ("worker", "traces", "mlflow"),
}
HEAVY = re.compile(r"torch|transformers|tokenizers|safetensors|numpy|pyarrow|nvidia-|cuda-|triton")
PLATFORM = {"python_version": "3.11", "python_full_version": "3.11.14", "sys_platform": "linux", "os_name": "posix"}
PLATFORM |= {"platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
PLATFORM |= {"platform_python_implementation": "CPython"}


def pins(text: str) -> dict[str, str]:
    """Version of each package."""
    found = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s\\;]+)", text)
    return {canonicalize_name(name): version for name, version in found}


def locked(name: str) -> dict[str, str]:
    return pins((LOCKS / f"{name}.txt").read_text())


def closure(extras: tuple[str, ...]) -> set[str]:
    """Every package that our own needs with these extras, by what is installed here."""
    seen: set[tuple[str, str]] = set()
    further = [("model-growth", extra) for extra in ("", *extras)]
    while further:
        package, extra = further.pop()
        if (package, extra) in seen:
            continue
        seen.add((package, extra))
        further += [(canonicalize_name(found.name), more) for found in _needs(package, extra) for more in _of(found)]
    return {package for package, _ in seen} - {"model-growth"}


def _of(found: Requirement) -> tuple[str, ...]:
    return ("", *found.extras)


def _needs(package: str, extra: str) -> Iterator[Requirement]:
    try:
        told = _own() if package == "model-growth" else requires(package) or []
    except PackageNotFoundError:
        # What torch needs on a GPU alone is not installed everywhere.
        return
    for text in told:
        found = Requirement(text)
        if found.marker is None or found.marker.evaluate({**PLATFORM, "extra": extra}):
            yield found


def _own() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [
        f"{text} ; extra == '{extra}'" for extra, texts in project["optional-dependencies"].items() for text in texts
    ]
    return [*project["dependencies"], *optional]


@pytest.mark.parametrize("name", EXTRAS)
def test_every_package_has_a_hash(name: str) -> None:
    text = (LOCKS / f"{name}.txt").read_text()
    entries = re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]
    assert len(entries) == len(locked(name)) > 50
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


@pytest.mark.parametrize("name", EXTRAS)
def test_versions_are_those_of_the_tests(name: str) -> None:
    tested = pins((ROOT / "constraints.txt").read_text())
    shared = locked(name).keys() & tested.keys()
    assert len(shared) > 50
    assert {package: locked(name)[package].partition("+")[0] for package in shared} == {
        package: tested[package] for package in shared
    }


@pytest.mark.parametrize("name", EXTRAS)
def test_it_is_whole(name: str) -> None:
    assert closure(EXTRAS[name]) - set(locked(name)) == set()
    assert "setuptools" in locked(name)


def test_the_service_has_no_torch_even_by_way_of_another_package() -> None:
    assert [package for package in locked("service") if HEAVY.match(package)] == []
    assert [package for package in closure(EXTRAS["service"]) if HEAVY.match(package)] == []
    assert "torch" in closure(EXTRAS["worker-cpu"])


def test_one_worker_has_cuda_and_the_other_none() -> None:
    def nvidia(name: str) -> list[str]:
        return [package for package in locked(name) if package.startswith("nvidia-")]

    assert nvidia("worker-cuda")
    assert not nvidia("worker-cpu")
    assert locked("worker-cpu")["torch"] == f"{locked('worker-cuda')['torch']}+cpu"


def test_no_lock_names_where_packages_come_from() -> None:
    assert all("://" not in file.read_text() for file in Path(LOCKS).iterdir())
