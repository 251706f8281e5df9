"""docs/deploying.md lists every setting with its default, and its examples make what the service reads."""

import hashlib
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined

from jobs.settings import SharedSettings
from service.api_keys import ApiKey
from service.app import create_app
from service.settings import ServiceSettings
from tests.deploy.dockerfile import stages
from tests.deploy.manifests import BASE, DOCKERFILES, OVERLAYS, ROOT, variables_of
from tests.docs.pages import blocks, sections
from worker.settings import WorkerSettings

(ROWS,) = [section.rows() for section in sections("docs/deploying.md") if section.heading == "Settings"]
CLASSES = {"both": (ServiceSettings, WorkerSettings), "service": (ServiceSettings,), "worker": (WorkerSettings,)}


def test_every_setting_is_listed_once() -> None:
    listed = [variable for variable, *_ in ROWS]
    assert len(listed) == len(set(listed))
    assert set(listed) == variables_of(ServiceSettings) | variables_of(WorkerSettings)
    shared = {variable for variable, reader, *_ in ROWS if reader == "both"}
    assert variables_of(SharedSettings) <= shared


@pytest.mark.parametrize(("variable", "reader", "default"), [row[:3] for row in ROWS])
def test_readers_and_defaults_are_the_settings_own(variable: str, reader: str, default: str) -> None:
    name = variable.removeprefix("GROW_").lower()
    read_by = {kind for kind in (ServiceSettings, WorkerSettings) if variable in variables_of(kind)}
    assert read_by == set(CLASSES[reader])
    (own,) = {kind.model_fields[name].default for kind in read_by}
    if own is PydanticUndefined:
        assert default.startswith("a folder")
    else:
        assert default == ("" if own in (None, ()) else str(own))


def test_the_shell_makes_a_key(tmp_path: Path) -> None:
    (shell,) = blocks("docs/deploying.md", "bash")
    made = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    key = made.stdout.strip().removeprefix("GROW_API_KEY=")
    (entry,) = TypeAdapter(tuple[ApiKey, ...]).validate_json((tmp_path / "api_keys.json").read_bytes())
    assert len(key) >= 32
    assert entry.key_sha256 == hashlib.sha256(key.encode()).hexdigest()


def test_the_overlay_names_what_the_base_has() -> None:
    (example,) = blocks("docs/deploying.md", "yaml")
    overlay, base = yaml.safe_load(example), yaml.safe_load((BASE / "kustomization.yaml").read_text())
    assert {image["name"] for image in overlay["images"]} == {image["name"] for image in base["images"]}
    deployed = {resource["metadata"]["name"] for resource in yaml.safe_load_all((BASE / "worker.yaml").read_text())}
    assert {scaled["name"] for scaled in overlay["replicas"]} == deployed


def test_the_overlays_that_are_listed_are_there() -> None:
    (rows,) = [section.rows() for section in sections("docs/deploying.md") if section.heading == "Kubernetes"]
    assert [name for name, _ in rows] != []
    assert {name for name, _ in rows} == {str(folder.relative_to(ROOT)) for folder in OVERLAYS}


def test_the_images_that_are_listed_are_there() -> None:
    (rows,) = [section.rows() for section in sections("docs/deploying.md") if section.heading == "Images"]
    targets = {(file, target.partition("`")[0]) for file, target, _ in rows}
    assert {ROOT / file for file, _ in targets} == set(DOCKERFILES)
    assert {target for _, target in targets if target} <= set(stages(ROOT / "docker" / "worker.Dockerfile"))


def test_the_request_of_the_compose_section_is_one_that_the_service_answers() -> None:
    (shell,) = [block for block in blocks("docs/deploying.md", "sh") if "docker compose" in block]
    (path,) = re.findall(r"http://127\.0\.0\.1:8000(/\w+)", shell)
    assert path in create_app(ServiceSettings()).openapi()["paths"]


def test_no_class_of_settings_has_too_many() -> None:
    own = {
        kind: set(kind.model_fields) - set(SharedSettings.model_fields) for kind in (ServiceSettings, WorkerSettings)
    }
    assert len(SharedSettings.model_fields) <= 20
    assert all(len(fields) <= 20 for fields in own.values())
