"""OLMo: where a factor on the tied head finds no parameter, the head is untied; and nowhere else."""

from pathlib import Path
from shutil import copytree

import pytest
import torch
from safetensors.torch import load_file, save_file

from growth.errors import ImpossibleTarget, InvalidCheckpoint, InvalidOperator
from growth.header import SINGLE_FILE
from growth.operators.artefact import load_operator, save_operator
from growth.operators.method import Nested
from tests.growth.folders import write_grown
from tests.growth.growing import Source, Target, difference, load, outputs
from tests.growth.variants import Sources

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.parametrize(
    ("target", "method"),
    [
        pytest.param({"hidden_size": 64}, "hypercloning", id="copies"),
        pytest.param({"hidden_size": 48}, "lemon", id="padding"),
        pytest.param({"hidden_size": 64}, "bert2bert", id="copies-of-another-function"),
    ],
)
def test_a_tied_head_with_a_factor_is_untied_and_told(sources: Sources, target: Target, method: Nested) -> None:
    plan = sources("olmo-tied").plan(target, method)
    assert plan.target.raw["tie_word_embeddings"] is False
    assert HEAD in {tensor.name for tensor in plan.tensors}
    assert [note for note in plan.notes if "head is untied" in note]
    hidden, untied = target["hidden_size"], sources("olmo").plan(target, method).summary()
    summary = plan.summary()
    assert summary["target"] == untied["target"]
    assert summary["source"]["parameters"] == untied["source"]["parameters"] - 300 * 32
    assert summary["source"]["weight_bytes"] == untied["source"]["weight_bytes"] - 8 * 300 * 32
    assert hidden == summary["target"]["sizes"]["hidden_size"]


@pytest.mark.parametrize(
    ("variant", "target", "method"),
    [
        pytest.param("olmo-tied", {"num_hidden_layers": 3}, "identity", id="depth"),
        pytest.param("olmo-tied", {"intermediate_size": 100}, "hypercloning", id="intermediate"),
        pytest.param("olmo-tied", {"hidden_size": 64}, "pad", id="pad"),
        pytest.param("olmo-tied", {"hidden_size": 64}, "random", id="random"),
        pytest.param("llama-tied", {"hidden_size": 64}, "hypercloning", id="a-norm-takes-it"),
    ],
)
def test_a_tied_head_that_needs_no_factor_stays(sources: Sources, variant: str, target: Target, method: Nested) -> None:
    plan = sources(variant).plan(target, method)
    assert plan.target.raw["tie_word_embeddings"] is True
    assert HEAD not in {tensor.name for tensor in plan.tensors}
    assert not [note for note in plan.notes if "untied" in note]


@pytest.mark.parametrize("method", ["lemon", "net2net"])
def test_hidden_states_alone_are_not_padded(sources: Sources, method: str) -> None:
    with pytest.raises(ImpossibleTarget, match="no gain") as refused:
        sources("olmo-headless").plan({"hidden_size": 48}, method)
    assert refused.value.nearest == {"hidden_size": 64}


def with_head(source: Source, folder: Path, factor: float) -> Source:
    """The same checkpoint with a tensor for the tied head, which is the embedding times `factor`."""
    copytree(source.path, folder)
    tensors = load_file(folder / SINGLE_FILE)
    save_file({**tensors, HEAD: factor * tensors[EMBEDDING]}, folder / SINGLE_FILE, metadata={"format": "pt"})
    return Source.open(folder)


def test_a_stored_copy_of_the_embedding_becomes_the_head(sources: Sources, tmp_path: Path) -> None:
    stored = with_head(sources("olmo-tied", torch.float32), tmp_path / "source", 1.0)
    plan = stored.plan({"hidden_size": 64}, "hypercloning")
    assert not [note for note in plan.notes if "left out" in note]
    model, _ = load(write_grown(plan, stored.reader, tmp_path / "grown"))
    assert difference(stored.outputs, outputs(model)) < 1e-4


def test_a_stored_head_that_is_not_the_embedding_is_refused(sources: Sources, tmp_path: Path) -> None:
    stored = with_head(sources("olmo-tied", torch.float32), tmp_path / "source", 2.0)
    plan = stored.plan({"hidden_size": 64}, "hypercloning")
    with pytest.raises(InvalidCheckpoint, match="differs from"):
        write_grown(plan, stored.reader, tmp_path / "grown")


def test_an_operator_that_needs_the_head_untied_belongs_to_no_job_that_ties_it(sources: Sources) -> None:
    cloned, padded = (
        sources("olmo-tied").plan({"hidden_size": 64}, {"name": "ligo", "init": init})
        for init in ("hypercloning", "pad")
    )
    with pytest.raises(InvalidOperator, match="name the init"):
        load_operator(save_operator(cloned.operator, cloned), padded)
