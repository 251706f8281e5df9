"""What a job's process uses reaches the job store's numbers, by way of its worker."""

import pytest
import torch

from jobs.counters import Counters
from jobs.schema import Stage, Status
from storage.traffic import Traffic
from tests.worker.conftest import MakeFarm
from tests.worker.processes import wait_until
from tests.worker.test_pretraining import PRETRAIN, untrained
from worker.messages import Used
from worker.meter import Meter, Steps


def test_a_jobs_bytes_steps_and_memory_are_counted(make_farm: MakeFarm) -> None:
    farm = make_farm()
    job = farm.submit(untrained(farm))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)
    assert ended.result is not None
    seen = Counters(farm.store.keys, farm.settings.redis_url).read()
    assert seen.count("training_steps") == PRETRAIN["steps"]
    assert seen.count("bytes_written") > ended.result.bytes_written
    assert seen.count("bytes_read") > ended.plan.source.weight_bytes
    assert seen.count("attempts_ended", "succeeded") == 1
    assert all(sum(seen.stages(Stage(stage)).counts) == 1 for stage in ended.result.stage_seconds)


def test_it_tells_every_so_often_and_at_the_end() -> None:
    told: list[Used] = []
    traffic, steps = Traffic(), Steps(fit=2)
    with Meter(steps, traffic, told.append, seconds=0.01):
        wait_until(lambda: len(told) >= 2)
        traffic.read(10)
        traffic.written(4)
        steps.fit = 3
    last = told[-1]
    assert (last.bytes_read, last.bytes_written, last.fit_steps, last.training_steps) == (10, 4, 3, 0)
    # A Python process with torch in it.
    assert 50_000_000 < last.host_memory_bytes < 50_000_000_000
    assert (last.gpu_memory_bytes is None) is not torch.cuda.is_available()


@pytest.mark.gpu
def test_it_tells_of_the_gpu() -> None:
    told: list[Used] = []
    held = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    with Meter(Steps(), Traffic(), told.append):
        pass
    assert told[-1].gpu_memory_bytes is not None
    assert told[-1].gpu_memory_limit_bytes is not None
    assert held.nbytes <= told[-1].gpu_memory_bytes <= told[-1].gpu_memory_limit_bytes
