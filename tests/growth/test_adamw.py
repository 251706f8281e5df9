"""AdamW's state out of a training, grown beside the weights, and into a training of the grown model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from growth.checkpoint import CheckpointReader
from growth.errors import InvalidOptimizerState
from growth.local_folder import FileSink, LocalFolder
from growth.operators.method import Nested
from growth.optimizer_layout import KINDS, MOMENTS, STEP, StatePlan, plan_state, read_state
from growth.optimizer_state import expand_state, load_adamw, save_adamw
from growth.plan import GrowthPlan
from tests.families.family import token_inputs
from tests.growth.folders import write_grown
from tests.growth.growing import Source, Target, load
from tests.growth.states import drawn_state, state_headers
from tests.growth.variants import Sources
from tests.tiny import tiny, tiny_llama

FILE = "optimizer.safetensors"
WIDER = {"hidden_size": 64, "num_hidden_layers": 3}
PADDED = {"hidden_size": 48, "num_hidden_layers": 3}
State = dict[str, Tensor]


def train(model: Any, optimizer: torch.optim.Optimizer, steps: int) -> list[float]:
    """The losses of some steps on the same tokens."""
    model.eval()
    ids = token_inputs()["input_ids"]
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def adamw(model: Any) -> torch.optim.AdamW:
    """Two groups, as in many trainings: weight decay on matrices alone."""
    parameters = list(model.parameters())
    matrices, vectors = ([p for p in parameters if (p.ndim > 1) == many] for many in (True, False))
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=1e-3)


def write_state(plan: GrowthPlan, source: Path, folder: Path, max_shard_bytes: int = 10**9) -> StatePlan:
    """The state in `source`, grown into `folder` under the names that a job gives it."""
    folder.mkdir(exist_ok=True)
    opened = LocalFolder(source)
    headers = read_state(opened)
    state = plan_state(plan, headers, max_shard_bytes)
    assert len(state.shards) == 1
    reader = CheckpointReader(opened, headers)
    expand_state(plan, state, reader, lambda _, size: FileSink(folder / FILE, size), lambda _: None)
    return state


def grow_state(source: Source, target: Target, method: Nested, state: State, folder: Path) -> State:
    """A state of the source's, grown."""
    (folder / "state").mkdir(parents=True)
    save_file(state, folder / "state" / FILE)
    write_state(source.plan(target, method, seed=1), folder / "state", folder / "grown")
    return load_file(folder / "grown" / FILE)


@pytest.mark.parametrize(
    ("variant", "method"), [("llama-tied", "net2net"), ("gpt2", "hypercloning"), ("bert", "lemon")]
)
def test_training_goes_on_after_growth(tmp_path: Path, variant: str, method: str) -> None:
    """In stock transformers, with the state that AdamW had; every parameter of the grown model finds its own."""
    model, _ = load(tiny(tmp_path / "first", variant))
    optimizer = adamw(model)
    before = train(model, optimizer, 12)
    model.save_pretrained(tmp_path / "source")
    save_adamw(model, optimizer, tmp_path / "source" / FILE)
    source = Source.open(tmp_path / "source")
    plan = source.plan({"hidden_size": 64}, method)
    grown, _ = load(write_grown(plan, source.reader, tmp_path / "grown"))
    write_state(plan, tmp_path / "source", tmp_path / "grown")

    resumed = adamw(grown)
    load_adamw(tmp_path / "grown", grown, resumed)
    assert len(resumed.state) == len(list(grown.parameters()))
    for parameter, kept in resumed.state.items():
        assert {name: tensor.shape for name, tensor in kept.items()} == {
            **dict.fromkeys(MOMENTS, parameter.shape),
            STEP: (),
        }
        assert float(kept[STEP]) == 12
    assert [group["weight_decay"] for group in resumed.param_groups] == [0.01, 0.0]
    after = train(grown, resumed, 12)
    assert after[0] == pytest.approx(train(model, optimizer, 1)[0], rel=1e-4)
    assert after[0] < before[-1]
    assert after[-1] < after[0]


def test_copies_train_as_their_source_does(tmp_path: Path) -> None:
    """Without weight decay: AdamW's step does not depend on a gradient's scale, so equal copies of a block's width move
    exactly as the source's units do."""
    model, _ = load(tiny(tmp_path / "first", "llama", dtype=torch.float64))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0, eps=1e-30)
    train(model, optimizer, 5)
    model.save_pretrained(tmp_path / "source")
    save_adamw(model, optimizer, tmp_path / "source" / FILE)
    source = Source.open(tmp_path / "source")
    plan = source.plan({"intermediate_size": 176}, "hypercloning")
    assert not any("approximation" in note for note in write_state(plan, tmp_path / "source", tmp_path / "grown").notes)
    grown, _ = load(write_grown(plan, source.reader, tmp_path / "grown"))
    resumed = torch.optim.AdamW(grown.parameters(), lr=1e-3, weight_decay=0.0, eps=1e-30)
    load_adamw(tmp_path / "grown" / FILE, grown, resumed)
    train(model, optimizer, 1)
    train(grown, resumed, 1)
    moved, expected = (dict(m.named_parameters())["model.layers.0.mlp.gate_proj.weight"] for m in (grown, model))
    assert float((moved - expected.repeat(2, 1)).detach().abs().max()) < 1e-6


def test_steps_are_kept_and_new_tensors_start_at_zero(sources: Sources, tmp_path: Path) -> None:
    source = sources("llama", torch.float32)
    plan = source.plan(PADDED, "lemon", seed=1)
    silent = {1}
    grown = grow_state(source, PADDED, "lemon", drawn_state(plan), tmp_path)
    assert grown.keys() == {f"{t.name}.{kind}" for t in plan.tensors for kind in KINDS}
    for tensor in plan.tensors:
        found = {kind: grown[f"{tensor.name}.{kind}"] for kind in KINDS}
        fresh = tensor.layer in silent
        assert float(found[STEP]) == (0 if fresh else 7)
        assert all(moment.shape == tensor.shape for kind, moment in found.items() if kind != STEP)
        assert all(bool(found[kind].any()) != fresh for kind in MOMENTS)
        assert bool((found["exp_avg_sq"] >= 0).all())
    rows = grown["model.layers.0.mlp.down_proj.weight.exp_avg"]
    assert rows[:32].abs().min() > 0
    assert not rows[32:].any()


@pytest.mark.parametrize("method", ["stack", "interpolate"])
def test_layers_copy_the_moments_of_what_they_copy(sources: Sources, tmp_path: Path, method: str) -> None:
    source = sources("gpt2", torch.float32)
    target = {"num_hidden_layers": 4}
    state = drawn_state(source.plan(target, method))
    grown = grow_state(source, target, method, state, tmp_path)
    order = (0, 1, 0, 1) if method == "stack" else (0, 0, 1, 1)
    for name, moment in grown.items():
        layer = name.split(".")[2] if name.startswith("transformer.h.") else None
        copied = name if layer is None else name.replace(f"h.{layer}", f"h.{order[int(layer)]}", 1)
        assert torch.equal(moment, state[copied])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_state_of_any_float_is_written_in_float32(sources: Sources, tmp_path: Path, dtype: torch.dtype) -> None:
    source = sources("llama", torch.float32)
    state = {n: t.to(dtype) for n, t in drawn_state(source.plan(WIDER, "hypercloning")).items()}
    grown = grow_state(source, WIDER, "hypercloning", state, tmp_path)
    assert {tensor.dtype for tensor in grown.values()} == {torch.float32}
    name = "model.layers.0.input_layernorm.weight.exp_avg"
    torch.testing.assert_close(grown[name], (state[name].float() / 2).repeat(2))


def drop(name: str) -> Callable[[State], None]:
    def spoil(state: State) -> None:
        del state[name]

    return spoil


def put(name: str, tensor: Tensor) -> Callable[[State], None]:
    def spoil(state: State) -> None:
        state[name] = tensor

    return spoil


EMBEDDING = "model.embed_tokens.weight"
SPOILT: dict[str, tuple[Callable[[State], None], str]] = {
    "missing-moment": (drop(f"{EMBEDDING}.exp_avg_sq"), "has no 'model.embed_tokens.weight.exp_avg_sq'"),
    "missing-step": (drop(f"{EMBEDDING}.step"), "has no 'model.embed_tokens.weight.step'"),
    "shape": (put(f"{EMBEDDING}.exp_avg", torch.zeros(3, 32)), r"of shape \[3, 32\]"),
    "step-of-each-entry": (put(f"{EMBEDDING}.step", torch.zeros(300, 32)), r"make it \[\]"),
    "unknown-parameter": (put("model.wide.weight.exp_avg", torch.zeros(3)), "'model.wide.weight'"),
    "two-names": (put("embed_tokens.weight.exp_avg", torch.zeros(300, 32)), "two names of one tensor"),
    "quantised": (put(f"{EMBEDDING}.exp_avg", torch.zeros(300, 32, dtype=torch.int8)), "quantised"),
    "sgd": (put(f"{EMBEDDING}.momentum_buffer", torch.zeros(300, 32)), "state of other optimizers"),
    "amsgrad": (put(f"{EMBEDDING}.max_exp_avg_sq", torch.zeros(300, 32)), "state of other optimizers"),
    "no-parameter": (put("step", torch.zeros(())), "state of other optimizers"),
    "not-finite": (put(f"{EMBEDDING}.exp_avg", torch.full((300, 32), torch.nan)), "can't have reached"),
    "negative": (put(f"{EMBEDDING}.exp_avg_sq", torch.full((300, 32), -1.0)), "can't have reached"),
}


@pytest.mark.parametrize(("spoil", "said"), SPOILT.values(), ids=SPOILT)
def test_spoilt_states(sources: Sources, tmp_path: Path, spoil: Callable[[State], None], said: str) -> None:
    source = sources("llama", torch.float32)
    state = drawn_state(source.plan(WIDER, "hypercloning"))
    spoil(state)
    with pytest.raises(InvalidOptimizerState, match=said) as refused:
        grow_state(source, WIDER, "hypercloning", state, tmp_path)
    assert refused.value.field == "/source_optimizer"


@pytest.mark.parametrize(("method", "said"), [("random", "draws fresh weights"), ("ligo", "learned, dense maps")])
def test_methods_without_a_history(sources: Sources, method: str, said: str) -> None:
    plan = sources("llama", torch.float32).plan(WIDER, method)
    with pytest.raises(InvalidOptimizerState, match=said):
        plan_state(plan, state_headers(plan), 10**9)


def write_names(*names: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        for name in names:
            save_file({"a.exp_avg": torch.zeros(2)}, folder / name)

    return write


def write_index(folder: Path) -> None:
    (folder / "optimizer.safetensors.index.json").write_text('{"weight_map": {"a": "optimizer-1.safetensors"}}')


def cut(folder: Path) -> None:
    (folder / FILE).write_bytes(b"")


FOLDERS: dict[str, tuple[Callable[[Path], None], str]] = {
    "nothing": (write_names("model.safetensors"), "holds no optimizer"),
    "pickle": (lambda folder: torch.save({}, folder / "optimizer.pt"), "optimizer.pt is a pickle"),
    "two-files": (write_names("optimizer.safetensors", "optimizer-2.safetensors"), "more than one"),
    "shard-missing": (write_index, "optimizer.safetensors.index.json names the shard optimizer-1.safetensors"),
    "truncated": (cut, "too few"),
}


@pytest.mark.parametrize(("fill", "said"), FOLDERS.values(), ids=FOLDERS)
def test_folders_without_one_state(tmp_path: Path, fill: Callable[[Path], None], said: str) -> None:
    fill(tmp_path)
    with pytest.raises(InvalidOptimizerState, match=said):
        read_state(LocalFolder(tmp_path))


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Any, torch.optim.AdamW]:
    model, _ = load(tiny_llama(tmp_path / "trained"))
    optimizer = adamw(model)
    train(model, optimizer, 1)
    return model, optimizer


def test_a_state_goes_out_and_in_unchanged(trained: tuple[Any, torch.optim.AdamW], tmp_path: Path) -> None:
    model, optimizer = trained
    save_adamw(model, optimizer, tmp_path / FILE)
    again = adamw(model)
    load_adamw(tmp_path / FILE, model, again)
    for parameter, kept in optimizer.state.items():
        assert all(torch.equal(again.state[parameter][kind], kept[kind]) for kind in KINDS)


def test_frozen_parameters_have_zeros_and_stay_without_state(tmp_path: Path) -> None:
    model, _ = load(tiny_llama(tmp_path / "frozen"))
    model.model.embed_tokens.requires_grad_(False)
    optimizer = torch.optim.AdamW(model.parameters())
    train(model, optimizer, 1)
    save_adamw(model, optimizer, tmp_path / FILE)
    assert not any(load_file(tmp_path / FILE)[f"{EMBEDDING}.{kind}"].any() for kind in KINDS)
    load_adamw(tmp_path / FILE, model, again := torch.optim.AdamW(model.parameters()))
    assert model.model.embed_tokens.weight not in again.state


def test_a_model_without_its_head_takes_the_state_of_its_parameters(
    trained: tuple[Any, torch.optim.AdamW], tmp_path: Path
) -> None:
    model, optimizer = trained
    save_adamw(model, optimizer, tmp_path / FILE)
    base = model.model
    load_adamw(tmp_path / FILE, base, again := torch.optim.AdamW(base.parameters()))
    weight = base.embed_tokens.weight
    assert torch.equal(again.state[weight]["exp_avg"], optimizer.state[weight]["exp_avg"])


def test_states_that_do_not_belong_are_refused(trained: tuple[Any, torch.optim.AdamW], tmp_path: Path) -> None:
    model, optimizer = trained
    save_adamw(model, optimizer, tmp_path / FILE)
    wider, _ = load(tiny_llama(tmp_path / "wider", hidden_size=64))
    other, _ = load(tiny(tmp_path / "gpt2", "gpt2"))
    with pytest.raises(InvalidOptimizerState, match="has shape"):
        load_adamw(tmp_path / FILE, wider, adamw(wider))
    with pytest.raises(InvalidOptimizerState, match="no state of the model's parameter"):
        load_adamw(tmp_path / FILE, other, adamw(other))


def test_other_optimizers_are_refused(trained: tuple[Any, torch.optim.AdamW], tmp_path: Path) -> None:
    model, _ = trained
    for optimizer in (torch.optim.SGD(model.parameters()), torch.optim.AdamW(model.parameters(), amsgrad=True)):
        with pytest.raises(InvalidOptimizerState, match=r"SGD is not|amsgrad"):
            save_adamw(model, optimizer, tmp_path / FILE)  # type: ignore[arg-type]
