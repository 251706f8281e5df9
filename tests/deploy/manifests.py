"""The files that are deployed, as data, and the settings that their environment variables must be."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic_settings import BaseSettings

from service.settings import ServiceSettings
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker" / "compose.yaml"
BASE = ROOT / "deploy" / "base"
COMPONENTS = ROOT / "deploy" / "components"
OVERLAYS = sorted(file.parent for file in (ROOT / "deploy" / "overlays").glob("*/kustomization.yaml"))
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
SETTINGS: Mapping[str, type[BaseSettings]] = {"service": ServiceSettings, "worker": WorkerSettings}
_REFERENCE = re.compile(r"\$\{(\w+)(?::([-?])([^}]*))?\}")


def compose() -> dict[str, Any]:
    """The compose file, its anchors resolved, its variables not."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return loaded


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """`text` with `${NAME}`, `${NAME:-default}` and `${NAME:?reason}` filled in as compose does.

    Raises KeyError for a variable without value and default.
    """

    def value(reference: re.Match[str]) -> str:
        name, kind, word = reference.groups()
        return variables.get(name) or (word if kind == "-" else variables[name])

    return _REFERENCE.sub(value, text)


def referenced(text: str) -> dict[str, str | None]:
    """Every variable that compose fills in, with its default; None where it has none."""
    return {name: word if kind == "-" else None for name, kind, word in _REFERENCE.findall(text)}


def resources() -> list[dict[str, Any]]:
    """Every Kubernetes resource of the base, in the order of its kustomization."""
    names = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [document for name in names for document in yaml.safe_load_all((BASE / name).read_text())]


def component(name: str) -> list[dict[str, Any]]:
    """Every Kubernetes resource that a component adds."""
    names = yaml.safe_load((COMPONENTS / name / "kustomization.yaml").read_text()).get("resources", [])
    return [document for file in names for document in yaml.safe_load_all((COMPONENTS / name / file).read_text())]


def templates(found: Iterable[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Kind and name, and pod template, of everything among resources that runs."""
    for resource in found:
        spec = resource.get("spec", {})
        spec = spec.get("jobTargetRef", spec)
        if "template" in spec:
            yield f"{resource['kind']} {resource['metadata']['name']}", spec["template"]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and pod specification of everything that runs in the base."""
    for name, template in templates(resources()):
        yield name.partition(" ")[2], template["spec"]


def variables_of(settings: type[BaseSettings]) -> set[str]:
    """The environment variables that a settings class reads."""
    return {f"{settings.model_config['env_prefix']}{name}".upper() for name in settings.model_fields}
