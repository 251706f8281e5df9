"""openapi.yaml is the app's own description, and valid."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate
from starlette.testclient import TestClient

from jobs.schema import Failure, Job, Result, Status
from service.openapi import as_yaml, main
from service.settings import ServiceSettings
from service.webhook_message import message
from tests.jobs.samples import FAILURE, PLAN, RESULT, request
from tests.service.conftest import ClientFactory
from tests.service.keys import api_key

FILE = Path(__file__).parents[2] / "openapi.yaml"
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
BODY_ROUTES = {"/grow", "/plan"}
PUBLIC_ROUTES = {"/healthz", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(as_yaml())
    return loaded


def test_file_is_what_the_app_says() -> None:
    assert FILE.read_text(encoding="utf-8") == as_yaml(), "Run `make openapi` and commit openapi.yaml."


def test_document_is_valid(document: dict[str, Any]) -> None:
    validate(document)


def test_document_is_served(client_with: ClientFactory, document: dict[str, Any]) -> None:
    assert client_with(api_keys=[api_key("ada")]).get("/openapi.json").json() == document


def test_a_service_without_keys_asks_for_none(client: TestClient, document: dict[str, Any]) -> None:
    served = client.get("/openapi.json").json()
    validate(served)
    assert "securitySchemes" not in served["components"]
    asking = [operation for operations in served["paths"].values() for operation in operations.values()]
    assert not any("security" in operation for operation in asking)
    assert served["paths"].keys() == document["paths"].keys()


def test_document_does_not_depend_on_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = as_yaml()
    key = ServiceSettings.model_validate({"api_keys": [api_key("ada")]}).api_keys[0]
    monkeypatch.setenv("GROW_API_KEYS", f"[{key.model_dump_json()}]")
    monkeypatch.setenv("GROW_PORT", "9999")
    assert as_yaml() == plain


def test_every_refusal_is_declared(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            refusals = {status for status in answers if int(status) >= 400}
            assert all(answers[status]["content"] == PROBLEM for status in refusals)
            expected = {"500"} if path in PUBLIC_ROUTES else {"401", "403", "500"}
            expected |= {"409", "413", "422", "503"} if path in BODY_ROUTES else set()
            expected |= {"404", "422", "503"} if "{job_id}" in path else set()
            assert refusals >= expected, path
            assert ("security" in operation) == (path not in PUBLIC_ROUTES)


def test_operations_have_short_names(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert sorted(names) == sorted(set(names))
    assert "submit_growth" in names


def test_command_writes_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "api.yaml")]) == 0
    assert (tmp_path / "api.yaml").read_text(encoding="utf-8") == as_yaml()
    assert main([]) == 2
    assert "Usage" in capsys.readouterr().err


@pytest.mark.parametrize("outcome", [RESULT, FAILURE, None])
def test_what_webhooks_say_is_described(document: dict[str, Any], outcome: Result | Failure | None) -> None:
    status = {Result: Status.SUCCEEDED, Failure: Status.FAILED, type(None): Status.CANCELLED}[type(outcome)]
    now = datetime.now(UTC)
    ended = {"result" if isinstance(outcome, Result) else "error": outcome}
    growth = Job(
        id="job-1", status=status, owner="ada", created_at=now, finished_at=now, request=request(), plan=PLAN, **ended
    )
    body, headers = message(growth, ["whsec_bmV3"])
    described = document["webhooks"][json.loads(body)["type"]]["post"]
    schema = described["requestBody"]["content"]["application/json"]["schema"]
    OAS31Validator({**schema, "components": document["components"]}).validate(json.loads(body))
    told = {parameter["name"] for parameter in described["parameters"] if parameter["in"] == "header"}
    assert told == {name for name in headers if name.startswith("webhook-")}


def test_every_webhook_is_described(document: dict[str, Any]) -> None:
    endings = ("succeeded", "failed", "cancelled")
    assert set(document["webhooks"]) == {f"{kind}.{ending}" for kind in ("job", "search") for ending in endings}
    for operations in document["webhooks"].values():
        assert set(operations) == {"post"}
        assert set(operations["post"]["responses"]) == {"204", "2XX", "410", "default"}
