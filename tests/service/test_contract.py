"""The running service keeps to its own OpenAPI document: schemathesis, every check, every phase, with keys and without.

Written from the document that the service serves, so a new endpoint is covered as soon as it is there. Two keys take
part, so that no object of one may be seen by the other.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.store import JobStore
from tests.service import contract_hooks
from tests.service.keys import api_key, sent_by
from tests.service.process import service_process

ROOT = Path(__file__).parents[2]
SEED = 1
EXAMPLES = 10
PHASES = ("Examples", "Coverage", "Fuzzing", "Stateful")
OWNERS = ("ada", "ben")
# A body whose fields are all right can still name a store that is not there: which of these codes are right is what
# the hooks' own check looks at.
REFUSED_FOR_WHAT_THEY_NAME = ["2xx", "401", "403", "404", "409", "422", "429"]
CONFIG = f"""
hooks = "tests.service.contract_hooks"
seed = {SEED}
request-timeout = 60.0
continue-on-failure = true

[generation]
max-examples = {EXAMPLES}
database = "none"

[[operations]]
include-method = "POST"
checks.positive_data_acceptance.expected-statuses = {json.dumps(REFUSED_FOR_WHAT_THEY_NAME)}
"""


@pytest.mark.parametrize("keyed", [True, False], ids=["with-keys", "without-keys"])
def test_schemathesis_finds_nothing(keyed: bool, redis_url: str, store: JobStore, llama: Path, tmp_path: Path) -> None:
    outputs = f"file://{tmp_path}/outputs"
    environment = {"GROW_REDIS_URL": redis_url}
    config = CONFIG
    if keyed:
        allowed = {"source": [f"file://{llama}"], "data": [f"file://{llama}"], "output": [outputs]}
        environment["GROW_API_KEYS"] = json.dumps([api_key(name, **allowed) for name in OWNERS])
        (tmp_path / "auth.json").write_text(json.dumps(_credentials()))
        peers = json.dumps(OWNERS)
        config += f'\n[auth.wfc]\npath = "{tmp_path}/auth.json"\nuser = "{OWNERS[0]}"\npeers = {peers}\n'
    (tmp_path / "schemathesis.toml").write_text(config)
    with service_process(tmp_path / "service.log", environment) as service:
        told = {contract_hooks.SOURCE: f"file://{llama}", contract_hooks.OUTPUTS: outputs}
        found = subprocess.run(
            [*_command(tmp_path), "run", f"{service.url}/openapi.json", "--checks", "all", "--no-color"],
            env={**os.environ, **told, "PYTHONPATH": str(ROOT)},
            cwd=tmp_path,  # where it keeps what it found, for the next run
            capture_output=True,
            text=True,
        )
    assert found.returncode == 0, found.stdout[-20_000:]
    for phase in PHASES:
        assert re.search(rf"✅  {phase} \(in ", found.stdout), found.stdout[-20_000:]
    assert store.list_jobs().jobs


def _command(folder: Path) -> list[str]:
    return [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(folder / "schemathesis.toml")]


def _credentials() -> dict[str, Any]:
    """Both keys as schemathesis reads them (Web Fuzzing Commons)."""
    return {
        "auth": [
            {"name": name, "fixedHeaders": [{"name": key, "value": value} for key, value in sent_by(name).items()]}
            for name in OWNERS
        ]
    }
