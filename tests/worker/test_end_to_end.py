"""A queued job becomes a checkpoint that stock transformers loads, over every kind of store."""

from pathlib import Path

import torch
from transformers import AutoModel

from jobs.schema import EventKind, Status
from tests.tiny import tiny_bert
from tests.worker.checks import check_output, logits
from tests.worker.conftest import MakeFarm
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


def test_a_base_encoder_whose_tensors_have_no_prefix(make_farm: MakeFarm, tmp_path: Path) -> None:
    farm = make_farm(None)
    encoder = tiny_bert(tmp_path / "encoder", headed=False)
    job = farm.submit(farm.request(farm.upload(encoder), target={"hidden_size": 64}, verify=True))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)

    ids = torch.arange(5, 30).reshape(1, -1)
    with torch.no_grad():
        before, after = (
            AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state
            for folder in (encoder, check_output(farm, ended))
        )
    torch.testing.assert_close(after, before.repeat(1, 1, 2), rtol=0, atol=5e-5)
