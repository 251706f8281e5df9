"""The child alone: it speaks only to its worker, and does not outlive it."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import S3Server
from tests.storage.proxy import Proxy
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm
from tests.worker.gate import Gate
from worker.messages import MESSAGE, Go, MayCommit, Message, Progressed, Succeeded, Work

SECONDS = 60.0


def start(farm: Farm, llama: Path, **changes: object) -> subprocess.Popen[bytes]:
    """A child at work; this process is its worker."""
    child = subprocess.Popen(
        [sys.executable, "-m", "worker.child"],
        env={**os.environ, **farm.environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    request = farm.request(farm.upload(llama), **changes)
    assert child.stdin is not None
    child.stdin.write(Work(job_id="job-1", attempt=1, request=request, plan=None).model_dump_json().encode() + b"\n")
    child.stdin.flush()
    return child


def test_it_asks_before_it_commits(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    told: list[Message] = []
    with start(farm, llama) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            told.append(MESSAGE.validate_json(line))
            if isinstance(told[-1], MayCommit):
                assert not any("index.json" in name for name in farm.names(farm.root) if "output" in name)
                child.stdin.write(Go(until=time.monotonic() + 60).model_dump_json().encode() + b"\n")
                child.stdin.flush()
    assert child.returncode == 0
    assert isinstance(told[-1], Succeeded)
    assert isinstance(told[0], Progressed)
    assert sum(isinstance(message, MayCommit) for message in told) == 1


def test_it_asks_again_where_the_answer_came_late(make_farm: MakeFarm, llama: Path) -> None:
    """As after a stop that was longer than the lease."""
    farm = make_farm()
    asked = 0
    with start(farm, llama) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for line in child.stdout:
            if isinstance(MESSAGE.validate_json(line), MayCommit):
                asked += 1
                assert not any("index.json" in name for name in farm.names(farm.root) if "output" in name)
                until = time.monotonic() + (60 if asked == 3 else -0.001)
                child.stdin.write(Go(until=until).model_dump_json().encode() + b"\n")
                child.stdin.flush()
        # While its standard input is open: it dies once that is closed, even on its way out.
        assert child.wait(SECONDS) == 0
    assert asked == 3


def test_it_dies_when_its_worker_lets_go_of_it(
    make_farm: MakeFarm, proxied: S3Server, proxy: Proxy, llama: Path
) -> None:
    farm = make_farm(proxied)
    gate = Gate(proxy, "PUT", "model-job-1-a1-00001")
    with start(farm, llama) as child:
        gate.wait()
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(SECONDS) == -9
    gate.open()


@pytest.mark.parametrize("module", ["worker.app", "worker.task"])
def test_what_celery_imports_is_light(module: str) -> None:
    heavy = f"import sys, {module}; sys.exit(not {{'torch', 'transformers', 'numpy'}}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", heavy], check=False).returncode == 0
