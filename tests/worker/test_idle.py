"""A worker that leaves by itself: after its jobs, never during one, and never where nobody asked for it."""

import os
import subprocess
import sys
import time
from pathlib import Path

from jobs.schema import Status
from tests.worker.conftest import MakeFarm
from tests.worker.farm import Farm

IDLE_SECONDS = 5.0


def _worker(farm: Farm, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "worker", *options]
    return subprocess.Popen(command, env={**os.environ, **farm.environment}, start_new_session=True)


def test_it_leaves_after_its_jobs(make_farm: MakeFarm, llama: Path) -> None:
    farm = make_farm()
    source = farm.upload(llama)
    jobs = [farm.submit(farm.request(source, verify=True)) for _ in range(2)]
    began = time.monotonic()
    worker = _worker(farm, "--exit-when-idle", str(IDLE_SECONDS))
    assert worker.wait(120) == 0
    assert time.monotonic() - began > IDLE_SECONDS
    assert [farm.store.get(job.id).status for job in jobs] == [Status.SUCCEEDED] * 2
    assert [farm.store.get(job.id).attempt for job in jobs] == [1, 1]
