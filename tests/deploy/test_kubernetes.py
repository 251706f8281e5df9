"""The kustomize base: valid, whole, least privilege, and speaking the settings' own names."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from service.api_keys import ApiKey
from tests.deploy.manifests import BASE, ROOT, SETTINGS, component, pods, resources, templates, variables_of

SECRET = ROOT / "deploy" / "secret.example.yaml"
OURS = {"model-growth-service": "service", "model-growth-worker": "worker"}


def _schema_check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kubernetes_validate", "--strict", *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True)


def _manifests() -> list[Path]:
    return sorted(file for file in BASE.glob("*.yaml") if file.name != "kustomization.yaml")


def _everything() -> list[dict[str, Any]]:
    return [*resources(), *component("autoscaled-workers"), *component("multi-node-fit")]


def _containers() -> Iterator[dict[str, Any]]:
    for _, template in templates(_everything()):
        yield from template["spec"]["containers"]


def test_every_manifest_is_valid() -> None:
    checked = _schema_check(*_manifests(), SECRET)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_misspelt_field_would_be_found(tmp_path: Path) -> None:
    copy = tmp_path / "worker.yaml"
    copy.write_text((BASE / "worker.yaml").read_text().replace("envFrom", "environmentFrom"))
    assert _schema_check(copy).returncode != 0


def test_the_kustomization_lists_every_manifest() -> None:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    assert sorted(kustomization["resources"]) == [file.name for file in _manifests()]
    assert {image["name"] for image in kustomization["images"]} == set(OURS)


@pytest.mark.parametrize("name", OURS)
def test_the_environment_is_made_of_settings(name: str) -> None:
    (shared,) = [resource for resource in resources() if resource["kind"] == "ConfigMap"]
    (container,) = dict(pods())[name]["containers"]
    given = {entry["name"] for entry in container["env"]} | set(shared["data"])
    assert {variable for variable in given if variable.startswith("GROW_")} <= variables_of(SETTINGS[OURS[name]])


def test_what_is_asked_of_the_secret_is_in_its_example() -> None:
    secret = yaml.safe_load(SECRET.read_text())
    asked = {
        (entry["valueFrom"]["secretKeyRef"]["name"], entry["valueFrom"]["secretKeyRef"]["key"])
        for container in _containers()
        for entry in container["env"]
        if "secretKeyRef" in entry.get("valueFrom", {})
    }
    (keys,) = [volume["secret"] for volume in dict(pods())["model-growth-service"]["volumes"] if "secret" in volume]
    asked |= {(keys["secretName"], item["key"]) for item in keys["items"]}
    assert asked == {(secret["metadata"]["name"], key) for key in secret["stringData"]}


def test_the_keys_are_where_the_service_looks() -> None:
    pod = dict(pods())["model-growth-service"]
    (container,) = pod["containers"]
    (file,) = [entry["value"] for entry in container["env"] if entry["name"] == "GROW_API_KEYS_FILE"]
    (mount,) = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "api-keys"]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == "api-keys"]
    assert file == f"{mount}/{volume['secret']['items'][0]['path']}"


def test_the_secrets_example_holds_a_list_of_keys_and_no_secret() -> None:
    given = yaml.safe_load(SECRET.read_text())["stringData"]
    keys = TypeAdapter(tuple[ApiKey, ...]).validate_json(given.pop("api-keys.json"))
    assert [key.name for key in keys] == ["team-a"]
    assert set(given.values()) == {""}


def test_records_are_durable() -> None:
    (container,) = dict(pods())["valkey"]["containers"]
    options = dict(zip(container["args"][1::2], container["args"][2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"


def test_the_worker_has_a_gpu_of_its_own() -> None:
    (container,) = dict(pods())["model-growth-worker"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_no_pod_has_more_rights_than_it_needs() -> None:
    for _, template in templates(_everything()):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["enableServiceLinks"]
        for container in pod["containers"]:
            context = container["securityContext"]
            assert not context["allowPrivilegeEscalation"]
            assert context["readOnlyRootFilesystem"]
            assert context["capabilities"]["drop"] == ["ALL"]


def test_selectors_find_their_pods() -> None:
    labels = {
        tuple(resource["spec"]["template"]["metadata"]["labels"].items())
        for resource in resources()
        if "template" in resource.get("spec", {})
    }
    services = [resource for resource in resources() if resource["kind"] == "Service"]
    assert len(services) == 2
    assert all(tuple(service["spec"]["selector"].items()) in labels for service in services)
