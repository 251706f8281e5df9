"""Every program whose settings can't be used ends at once, with a sentence that shows no password."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PASSWORD = "hunter2"
PROGRAMS = {
    "service": [sys.executable, "-m", "service"],
    "worker": [sys.executable, "-m", "celery", "-A", "worker.app", "worker"],
    "machine": [sys.executable, "-m", "worker.fit_node"],
    "run": ["grow", "run", "request.json"],
    "rebuild": ["grow", "rebuild", "file:///nowhere"],
    "keys": ["grow", "keys", "list"],
}


def _started(program: list[str], environment: dict[str, str], folder: Path) -> tuple[int, str]:
    """The exit code, and what was written to both outputs."""
    known = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "PYTHONPATH": str(Path.cwd())}
    ended = subprocess.run(
        program, env={**known, **environment}, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {"GROW_S3_SECRET_ACCESS_KEY": PASSWORD},
            "Set both GROW_S3_ACCESS_KEY_ID and GROW_S3_SECRET_ACCESS_KEY, or neither.\n",
        ),
        (
            {"GROW_REDIS_URL": f"redis://:{PASSWORD}#@redis:6379/0", "GROW_MAX_ATTEMPTS": "many"},
            "GROW_REDIS_URL can't be used: write redis://:password@host:6379/0, or rediss:// with TLS, special "
            "characters of the password as %xx.\n"
            "GROW_MAX_ATTEMPTS can't be used: Input should be a valid integer, unable to parse string as an integer.\n",
        ),
    ],
    ids=["half a credential", "two slips"],
)
def test_each_setting_has_its_sentence(name: str, environment: dict[str, str], said: str, tmp_path: Path) -> None:
    assert _started(PROGRAMS[name], environment, tmp_path) == (2, said)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"GROW_API_KEYS": f'[{{"name": "{PASSWORD}'}, "GROW_API_KEYS can't be used: it is not the JSON that"),
        ({"GROW_API_KEYS": f'[{{"key": "{PASSWORD}"}}]'}, "GROW_API_KEYS can't be used at /0/name: Field required."),
        ({"GROW_API_KEYS_FILE": "keys.json"}, "GROW_API_KEYS_FILE keys.json can't be used at /0/key_sha256: String"),
        ({"GROW_API_KEYS_FILE": "none.json"}, "GROW_API_KEYS_FILE none.json can't be read: No such file"),
    ],
)
def test_keys_that_can_not_be_used(environment: dict[str, str], said: str, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(f'[{{"name": "ada", "key_sha256": "{PASSWORD}", "prefixes": {{}}}}]')
    code, told = _started(PROGRAMS["service"], environment, tmp_path)
    assert (code, told[: len(said)]) == (2, said)
    assert PASSWORD not in told
    assert "Traceback" not in told


def test_a_state_that_names_no_storage(tmp_path: Path) -> None:
    code, told = _started(PROGRAMS["worker"], {"GROW_STATE_URI": "/state"}, tmp_path)
    assert code == 2
    assert told.startswith("GROW_STATE_URI can't be used: '/state' names no storage: write s3://")
