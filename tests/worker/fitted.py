"""A checkpoint fitted and grown stage by stage, without a job: what the stages give, and the folder that is written."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from growth.checkpoint import CheckpointReader
from growth.fit import IGNORED_LABEL, FitOutcome
from growth.operators import parse_method
from growth.plan import GrowthPlan, make_plan
from growth.source import read_source
from jobs.schema import FitPoint, FitReport
from storage import Storage, Uri
from storage.folder import Folder
from tests.growth.folders import write_grown
from tests.growth.growing import load
from tests.growth.text import real_text
from tests.worker.reading import read
from worker.corpus import Corpus
from worker.fit_state import FitStates
from worker.fitting import fit_operator


def quiet(_: object) -> None:
    """What a test does with points that it does not look at."""


@dataclass
class Stages:
    """One source, its plan and its corpus in a folder of the test's own."""

    folder: Path
    plan: GrowthPlan
    reader: CheckpointReader
    corpus: Corpus
    states: FitStates
    points: list[FitPoint] = field(default_factory=list)

    @classmethod
    def of(cls, source: Path, folder: Path, target: dict[str, int], *, batch_size: int = 4, **asked: Any) -> "Stages":
        """`asked` are options of LiGO, or another method's `name` and options; `dtype` and the like for the plan."""
        shape = {key: asked.pop(key) for key in ("dtype", "max_shard_bytes", "seed") if key in asked}
        opened = Folder(Storage(), Uri.parse(f"file://{source}"))
        checkpoint = read_source(opened)
        method = parse_method(asked if "name" in asked else {"name": "ligo", "batch_size": batch_size, **asked})
        plan = make_plan(checkpoint.config, checkpoint.tensors, target, method, **shape)
        text = folder / "text.txt"
        text.write_text(real_text(4_000))
        reads = [opened.uri, Uri.parse(f"file://{text}")]
        states = FitStates(Storage(), Uri.parse(f"file://{folder}/state"), reads, "fit-{}.safetensors")
        corpus = read(source, text, batch_size=batch_size)
        return cls(folder, plan, CheckpointReader(opened, checkpoint.tensors), corpus, states)

    def fit(
        self, on_point: Callable[[FitPoint], object] = quiet, checkpoint_seconds: float = 60.0
    ) -> tuple[FitOutcome, FitReport]:
        """The fitting stage."""

        def told(point: FitPoint) -> None:
            self.points.append(point)
            on_point(point)

        return fit_operator(
            self.plan,
            self.reader,
            self.corpus,
            self.states,
            told,
            checkpoint_seconds=checkpoint_seconds,
            device="cpu",
        )

    def write(self, outcome: FitOutcome, name: str = "target") -> Path:
        """The expanding stage, by the fitted operator."""
        return write_grown(replace(self.plan, operator=outcome.operator), self.reader, self.folder / name)

    def loss_of(self, checkpoint: Path) -> float:
        """The held-out loss of a folder in stock transformers: the mean over all labelled tokens, summed up here."""
        model, report = load(checkpoint)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
        shifted = self.plan.source.architecture.objective == "causal_lm"
        total, tokens = 0.0, 0
        for batch in self.corpus.held_out():
            with torch.no_grad():
                logits = model.float()(input_ids=batch["input_ids"]).logits.double()
            labels = batch["labels"]
            logits, labels = (logits[:, :-1], labels[:, 1:]) if shifted else (logits, labels)
            told = labels != IGNORED_LABEL
            chosen = nn.functional.log_softmax(logits[told], -1).gather(-1, labels[told][:, None])
            total, tokens = total - float(chosen.sum()), tokens + int(told.sum())
        return total / tokens
