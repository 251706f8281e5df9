"""Settings: from the environment, few, and refused where they contradict each other."""

import pytest
from pydantic import ValidationError

from jobs.settings import SharedSettings


def test_every_setting_is_documented() -> None:
    assert len(SharedSettings.model_fields) <= 20
    assert all(field.description for field in SharedSettings.model_fields.values())


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROW_REDIS_URL", "redis://:hunter2@example:1/2")
    monkeypatch.setenv("GROW_S3_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("GROW_S3_SECRET_ACCESS_KEY", "hunter2")
    settings = SharedSettings()
    assert settings.redis_url == "redis://:hunter2@example:1/2"
    assert settings.s3_secret_access_key is not None
    assert settings.s3_secret_access_key.get_secret_value() == "hunter2"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"lease_seconds": 30, "lease_renew_seconds": 15}, "at most a third of GROW_LEASE_SECONDS"),
        ({"s3_access_key_id": "key"}, "Set both GROW_S3_ACCESS_KEY_ID and GROW_S3_SECRET_ACCESS_KEY, or neither"),
        ({"record_retention_seconds": 60}, "must be at least GROW_IDEMPOTENCY_SECONDS"),
        ({"max_attempts": 0}, "greater than or equal to 1"),
        ({"s3_endpoint_url": "localhost:9000"}, "URL scheme should be 'http' or 'https'"),
        ({"redis_url": "redis.example:6379"}, "write redis://"),
        ({"redis_url": "redis://"}, "write redis://"),
    ],
)
def test_contradictions_are_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        SharedSettings.model_validate(given)


@pytest.mark.parametrize(
    "given", [{"s3_secret_access_key": "hunter2"}, {"redis_url": "redis://:hunter2#x@example:1/2"}]
)
def test_an_error_shows_no_password(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as raised:
        SharedSettings.model_validate(given)
    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(raised.value)
