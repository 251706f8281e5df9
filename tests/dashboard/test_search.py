"""A search of hyper-parameters and its trials, as plots and as a table."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.dashboard.conftest import Shoot, Visiting
from tests.dashboard.elements import badge, rows
from tests.dashboard.service import Service
from tests.servers import S3Server, plain_client

TARGET = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}
# A picture for the docs shows more than a test needs.
TRIALS = 12 if "SCREENSHOTS" in os.environ else 2
END_MS = 240_000


@pytest.mark.timeout(400)
def test_a_search_is_watched_to_its_end(
    service: Service, moto: S3Server, visiting: Visiting, shot: Shoot, tmp_path: Path
) -> None:
    np.save(tmp_path / "ids.npy", (np.arange(4_000) * 7 % 100).astype(np.int32))
    ids = (tmp_path / "ids.npy").read_bytes()
    plain_client(moto).put_object(Bucket=moto.bucket, Key="corpus/ids.npy", Body=ids)
    job = service.post(
        "/tune",
        {
            "target": TARGET,
            "proxy": {"width_ratio": 4},
            "data": {"uri": f"s3://{moto.bucket}/corpus/ids.npy", "format": "tokens", "sequence_length": 16},
            "pretrain": {"steps": 60, "batch_size": 4},
            "search_space": {"learning_rate": {"powers_of_two": [-12, -3]}, "weight_decay": {"choices": [0.0, 0.1]}},
            "trials": TRIALS,
            "sampler": "random",
            "labels": {"test": "search"},
        },
    )
    visit = visiting(service.url)
    page = visit.open("#/?label=test%3Dsearch")
    expect(rows(page)).to_contain_text(f"{TRIALS} trials on a proxy")
    page.get_by_label("Kind").select_option("grow")
    expect(rows(page)).to_have_count(0)
    page.get_by_label("Kind").select_option("tune")
    rows(page).get_by_role("link", name="Search for llama").click()
    points = page.get_by_role("region", name="Loss over hyper-parameters")
    expect(points.get_by_text("Lowest so far")).to_be_visible()
    expect(page.get_by_role("region", name="Trials as they trained").locator("canvas")).to_be_visible()
    expect(badge(page, "succeeded")).to_be_visible(timeout=END_MS)

    ended = service.job(job["id"])
    best = ended["result"]["best"]["number"]
    expect(page.locator(".box.good")).to_contain_text(f"Trial {best} was best")
    table = page.get_by_role("region", name="Trials", exact=True).first
    expect(table.locator("tbody tr")).to_have_count(TRIALS)
    expect(page.get_by_role("region", name="Found")).to_contain_text("learning rate")
    page.get_by_label("Over", exact=True).select_option("weight_decay")
    expect(points.get_by_text("at weight decay")).to_be_visible()
    page.get_by_label("Over", exact=True).select_option("learning_rate")
    shot(page, "search")
    visit.check_narrow()
    table.get_by_role("link", name=str(best), exact=True).click()
    expect(page.get_by_role("heading", name=f"Trial {best}")).to_be_visible()
    expect(page.get_by_text(re.compile("at step 0 to .* at step 60"))).to_be_visible()
    expect(page.get_by_role("link", name="Search")).to_be_visible()
