"""Fits, choices and verifications of models that classify images, on handwritten digits."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForImageClassification

from storage import Uri
from tests.tiny import tiny
from tests.worker.conftest import MakeFarm
from tests.worker.digits import IMAGES, LABELS, NAMES, SIZE, TARGETS, encoded
from tests.worker.direct import run_attempt
from tests.worker.farm import Farm
from tests.worker.reading import read

TARGET = {"hidden_size": 48, "num_hidden_layers": 3}


def trained(folder: Path, family: str, images: Path) -> Path:
    """A tiny classifier that has begun to tell the digits apart."""
    corpus = read(tiny(folder, family, **LABELS, **SIZE), images, format="images", batch_size=32)
    model = AutoModelForImageClassification.from_pretrained(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for step in range(40):
        optimizer.zero_grad()
        model(**corpus.batch(step)).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)
    return folder


def uploaded(farm: Farm, folder: Path) -> str:
    """The digits in a folder for each label."""
    for number, (image, label) in enumerate(zip(IMAGES[:400], TARGETS[:400], strict=True)):
        path = folder / NAMES[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(image))
        farm.storage.put(farm.root.join(f"digits/{NAMES[label]}/{number}.png"), path.read_bytes())
    return str(farm.root.join("digits"))


def loss_of(checkpoint: Path, batches: list[Any]) -> float:
    model = AutoModelForImageClassification.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        logits = torch.cat([model(pixel_values=batch["pixel_values"]).logits for batch in batches]).double()
    labels = torch.cat([batch["labels"] for batch in batches])
    return float(torch.nn.functional.cross_entropy(logits, labels))


@pytest.mark.parametrize("family", ["vit", "deit"])
def test_a_fit_on_images(family: str, make_farm: MakeFarm, tmp_path: Path) -> None:
    farm = make_farm()
    data = {"uri": uploaded(farm, tmp_path / "digits"), "format": "images"}
    source = trained(tmp_path / "source", family, tmp_path / "digits")
    method = {"name": "ligo", "steps": 30, "batch_size": 12, "held_out_every": 10, "init": "pad"}
    request = farm.request(farm.upload(source), method=method, data=data, target=TARGET, verify=True)
    result = run_attempt(farm, request)
    assert result.fit is not None
    assert result.verification is not None
    assert result.fit.final_held_out_loss < result.fit.initial_held_out_loss - 0.05
    held_out = list(read(source, tmp_path / "digits", format="images", batch_size=12).held_out())
    written = farm.download(Uri.parse(result.output))
    assert loss_of(written, held_out) == pytest.approx(result.fit.final_held_out_loss, abs=1e-4)
    assert result.verification.target_loss == pytest.approx(result.fit.final_held_out_loss, abs=1e-4)
    assert result.verification.source_loss == pytest.approx(loss_of(source, held_out), abs=1e-4)


def test_the_choice_and_the_verification_read_images(make_farm: MakeFarm, tmp_path: Path) -> None:
    farm = make_farm()
    data = {"uri": uploaded(farm, tmp_path / "digits"), "format": "images"}
    source = trained(tmp_path / "source", "vit", tmp_path / "digits")
    request = farm.request(farm.upload(source), method="auto", data=data, target=TARGET, verify=True)
    result = run_attempt(farm, request)
    assert result.selection is not None
    assert [c.held_out_loss for c in result.selection.candidates if c.open] != []
    assert all(c.held_out_loss is not None for c in result.selection.candidates if c.open)
    assert result.verification is not None
    assert result.verification.source_loss is not None


@pytest.mark.parametrize("form", ["images", "parquet"])
def test_a_source_without_a_classifier_needs_no_labels(form: str, make_farm: MakeFarm, tmp_path: Path) -> None:
    farm = make_farm()
    if form == "images":
        data = {"uri": uploaded(farm, tmp_path / "digits"), "format": form}
    else:
        table = pa.table({"image": [encoded(image) for image in IMAGES[:400]]})
        pq.write_table(table, tmp_path / "digits.parquet")
        farm.storage.put(farm.root.join("table/digits.parquet"), (tmp_path / "digits.parquet").read_bytes())
        data = {"uri": str(farm.root.join("table")), "format": form}
    source = tiny(tmp_path / "source", "vit-headless", **SIZE)
    method = {"name": "ligo", "steps": 10, "batch_size": 12, "held_out_every": 5, "init": "pad"}
    result = run_attempt(farm, farm.request(farm.upload(source), method=method, data=data, target=TARGET, verify=True))
    assert result.fit is not None
    assert result.fit.final_held_out_loss < result.fit.initial_held_out_loss
