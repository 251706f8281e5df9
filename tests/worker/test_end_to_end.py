"""A queued job becomes a checkpoint that stock transformers loads, over every kind of store."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForImageClassification

from jobs.schema import EventKind, Status
from tests.families.vit import image_inputs
from tests.tiny import tiny, tiny_bert
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


@pytest.mark.parametrize("variant", ["llama", "qwen3-tied"])
def test_a_dense_model_becomes_a_mixture_of_experts(make_farm: MakeFarm, tmp_path: Path, variant: str) -> None:
    farm = make_farm(None)
    source = tiny(tmp_path / "dense", variant)
    target = {"num_local_experts": 4, "hidden_size": 64, "num_hidden_layers": 3}
    job = farm.submit(farm.request(farm.upload(source), target=target, method="hypercloning", verify=True))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)

    grown = check_output(farm, ended)
    torch.testing.assert_close(logits(grown), logits(source), rtol=0, atol=5e-5)
    assert ended.result is not None
    verification = ended.result.verification
    assert verification is not None
    assert verification.max_logit is not None
    assert verification.max_logit_difference is not None
    assert 0 < verification.max_logit_difference < 5e-5 * verification.max_logit


@pytest.mark.parametrize(
    ("variant", "tokens"), [("t5", 2 * 64), ("t5-v1.1", 2 * 64), ("whisper", 2 * 64), ("opt-350m", 2 * 64)]
)
def test_other_families_are_verified(make_farm: MakeFarm, tmp_path: Path, variant: str, tokens: int) -> None:
    farm = make_farm(None)
    source = tiny(tmp_path / "source", variant)
    job = farm.submit(farm.request(farm.upload(source), target={"hidden_size": 64}, method="hypercloning", verify=True))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)

    check_output(farm, ended)
    assert ended.result is not None
    verification = ended.result.verification
    assert verification is not None
    assert verification.max_logit is not None
    assert verification.max_logit_difference is not None
    assert 0 < verification.max_logit_difference < 5e-5 * verification.max_logit
    assert verification.tokens == tokens


@pytest.mark.parametrize("variant", ["vit", "deit-teacher"])
def test_an_image_model_with_its_processor(make_farm: MakeFarm, tmp_path: Path, variant: str) -> None:
    farm = make_farm(None)
    source = tiny(tmp_path / "images", variant)
    processor = json.dumps({"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 24}})
    (source / "preprocessor_config.json").write_text(processor)
    target = {"hidden_size": 48, "num_hidden_layers": 3}
    job = farm.submit(farm.request(farm.upload(source), target=target, method="lemon", verify=True))
    with farm.worker():
        ended = farm.wait_for(job, Status.SUCCEEDED)

    grown = check_output(farm, ended)
    torch.testing.assert_close(classes(grown), classes(source), rtol=0, atol=5e-5)
    assert (grown / "preprocessor_config.json").read_text() == processor
    card = (grown / "README.md").read_text()
    assert 'processor = AutoProcessor.from_pretrained("path/to/' in card
    assert "model = AutoModelForImageClassification.from_pretrained(" in card
    assert ended.result is not None
    verification = ended.result.verification
    assert verification is not None
    assert verification.max_logit is not None
    assert verification.max_logit_difference is not None
    assert 0 < verification.max_logit_difference < 5e-5 * verification.max_logit
    assert verification.tokens == 2


def classes(folder: Path) -> Tensor:
    """The logits of stock transformers for two images."""
    loaded: Any = AutoModelForImageClassification.from_pretrained(folder, output_loading_info=True)
    model, told = loaded
    assert not any(told.values()), told
    with torch.no_grad():
        found: Tensor = model.eval()(**image_inputs()).logits
    return found
