"""The compose file: valid, durable, without default secrets, and speaking the settings' own names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from service.settings import ServiceSettings
from tests.deploy.manifests import COMPOSE, ROOT, SETTINGS, compose, interpolated, referenced, variables_of
from worker.settings import WorkerSettings

GPUS = range(8)
PROCESSES = [("service", "service"), ("worker-0", "worker"), ("worker-7", "worker"), ("worker-cpu", "worker")]
OTHERS = {"OTEL_EXPORTER_OTLP_ENDPOINT", "MLFLOW_TRACKING_URI"}
SECRETS = {"VALKEY_PASSWORD": "v", "S3_ACCESS_KEY_ID": "k", "S3_SECRET_ACCESS_KEY": "s"}
KEYS = b'[{"name": "a", "key_sha256": "%s", "prefixes": {}}]' % (b"0" * 64)


def _schema_check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True)


def _environment(service: str) -> dict[str, str]:
    found: dict[str, str] = compose()["services"][service]["environment"]
    return {name: interpolated(value, SECRETS) for name, value in found.items()}


def test_is_a_compose_file() -> None:
    checked = _schema_check(COMPOSE)
    assert checked.returncode == 0, checked.stdout


def test_a_misspelt_field_would_be_found(tmp_path: Path) -> None:
    copy = tmp_path / "compose.yaml"
    copy.write_text(COMPOSE.read_text().replace("stop_grace_period", "stop_grace_time"))
    assert _schema_check(copy).returncode != 0


@pytest.mark.parametrize(("name", "process"), PROCESSES)
def test_the_environment_is_made_of_settings(name: str, process: str) -> None:
    assert set(_environment(name)) <= variables_of(SETTINGS[process]) | OTHERS


def test_the_service_starts_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keys = tmp_path / "api_keys"
    keys.write_bytes(KEYS)
    for name, value in (_environment("service") | {"GROW_API_KEYS_FILE": str(keys)}).items():
        monkeypatch.setenv(name, value)
    settings = ServiceSettings()
    assert settings.redis_url == "redis://:v@valkey:6379/0"
    assert [key.name for key in settings.all_keys()] == ["a"]


@pytest.mark.parametrize(("name", "device"), [("worker-0", "cuda"), ("worker-cpu", "cpu")])
def test_the_worker_starts_on_it(monkeypatch: pytest.MonkeyPatch, name: str, device: str) -> None:
    for variable, value in _environment(name).items():
        monkeypatch.setenv(variable, value)
    settings = WorkerSettings()
    assert settings.device == device
    assert settings.state_uri.startswith("s3://")


def test_both_processes_use_the_same_stores() -> None:
    shared = {name: value for name, value in _environment("service").items() if name != "GROW_API_KEYS_FILE"}
    assert all(_environment("worker-0")[name] == value for name, value in shared.items())


def test_the_keys_are_where_the_service_looks() -> None:
    service = compose()["services"]["service"]
    (secret,) = service["secrets"]
    assert service["environment"]["GROW_API_KEYS_FILE"] == f"/run/secrets/{secret}"
    assert secret in compose()["secrets"]


def test_records_are_durable() -> None:
    command = compose()["services"]["valkey"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert compose()["services"]["valkey"]["volumes"] == ["valkey:/data"]


def test_each_worker_has_a_gpu_of_its_own() -> None:
    services = compose()["services"]
    for number in GPUS:
        (device,) = services[f"worker-{number}"]["deploy"]["resources"]["reservations"]["devices"]
        assert (device["capabilities"], device["device_ids"]) == (["gpu"], [str(number)])
    assert services["worker-cpu"]["deploy"] == {}
    assert services["worker-cpu"]["profiles"] == ["cpu"]


@pytest.mark.parametrize("number", [1, 2, 4, 8])
def test_a_profile_starts_as_many_workers_as_it_says(number: int) -> None:
    services = compose()["services"]
    started = {name for name, service in services.items() if f"gpus-{number}" in service.get("profiles", [])}
    assert started == {f"worker-{gpu}" for gpu in range(number)}


def test_our_containers_write_nothing_and_may_do_nothing() -> None:
    services = compose()["services"]
    for name in ("service", "valkey", "worker-cpu", *(f"worker-{gpu}" for gpu in GPUS)):
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name


def test_images_of_others_are_pinned_and_everything_tells_its_health() -> None:
    for name, service in compose()["services"].items():
        if "build" not in service:
            assert re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?(-\w+)?", service["image"]), name
            assert service["healthcheck"]["test"]


def test_images_are_built_from_dockerfiles_here() -> None:
    builds = [service["build"] for service in compose()["services"].values() if "build" in service]
    assert len(builds) == 10
    for build in builds:
        context = (COMPOSE.parent / build["context"]).resolve()
        assert context == ROOT
        file = context / build["dockerfile"]
        assert "target" not in build or f" AS {build['target']}\n" in file.read_text()


def test_no_secret_has_a_default() -> None:
    text = COMPOSE.read_text()
    defaults = referenced(text)
    assert all(defaults[name] is None for name in SECRETS)
    assert all(f"${{{name}:?" in text for name in SECRETS)


def test_the_example_names_every_variable() -> None:
    lines = (ROOT / "docker" / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) == set(referenced(COMPOSE.read_text())) | {"COMPOSE_PROFILES"}
    assert all(given[name] == "" for name in SECRETS)


def test_nothing_is_published_beyond_this_machine() -> None:
    ports = [port for service in compose()["services"].values() for port in service.get("ports", [])]
    assert all(interpolated(port, {}).startswith("127.0.0.1:") for port in ports)
