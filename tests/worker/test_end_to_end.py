"""A queued job becomes a checkpoint that stock transformers loads, over every kind of store."""

from pathlib import Path

import torch

from jobs.schema import EventKind, Status
from tests.worker.checks import check_output, logits
from tests.worker.farm import Farm

STAGES = ["planning", "expanding", "verifying", "committing"]


def test_a_queued_job_becomes_a_checkpoint(any_farm: Farm, llama: Path) -> None:
    source = any_farm.upload(llama)
    job = any_farm.submit(any_farm.request(source, verify=True))
    with any_farm.worker():
        ended = any_farm.wait_for(job, Status.SUCCEEDED)

    grown = logits(check_output(any_farm, ended))
    torch.testing.assert_close(grown, logits(llama), rtol=0, atol=5e-5)
    assert ended.result is not None
    assert ended.result.verification is not None
    assert list(ended.result.stage_seconds) == STAGES
    events = any_farm.store.events(job.id).events
    assert [event.data["stage"] for event in events if event.kind is EventKind.STAGE] == STAGES
