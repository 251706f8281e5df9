"""The seeded residual: the same whatever the order, silent where it must be, and never the same for two seeds."""

from math import log10, sqrt
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growth.apply import Grower
from growth.expand import source_fetch
from growth.operators.method import Nested
from tests.growth.brute_force import dense
from tests.growth.folders import write_grown
from tests.growth.growing import Source, Target, grown_tensors
from tests.growth.variants import Sources
from tests.tiny import tiny_gpt2

NOISY: dict[str, tuple[str, Target, Nested]] = {
    "pad": ("llama", {"hidden_size": 64, "num_hidden_layers": 3}, "pad"),
    "hypercloning": ("gpt2", {"hidden_size": 64, "num_hidden_layers": 3}, {"name": "hypercloning", "snr_db": 10}),
    "lemon": ("llama-tied", {"hidden_size": 48, "num_hidden_layers": 3}, "lemon"),
    "net2net": ("bert", {"hidden_size": 64}, "net2net"),
    "net2net-padded": ("gpt2", {"hidden_size": 48}, {"name": "net2net", "snr_db": 10}),
    "bert2bert": ("bert", {"hidden_size": 48}, {"name": "bert2bert", "split": "unequal", "snr_db": 10}),
    "random": ("bert", {"hidden_size": 64, "num_hidden_layers": 3}, "random"),
}
every_method = pytest.mark.parametrize(("variant", "target", "method"), NOISY.values(), ids=NOISY)


def shard_bodies(folder: Path) -> bytes:
    """The tensors' bytes of all shards of a folder in their order, without the headers."""
    return b"".join(_body(path.read_bytes()) for path in sorted(folder.glob("*.safetensors")))


def _body(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


@every_method
def test_same_request_same_bytes(
    sources: Sources, tmp_path: Path, variant: str, target: Target, method: Nested
) -> None:
    source = sources(variant, torch.float32)
    folders = [write_grown(source.plan(target, method, seed=7), source.reader, tmp_path / name) for name in "ab"]
    first, second = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders)
    assert first == second


@every_method
def test_sharding_and_seed(sources: Sources, tmp_path: Path, variant: str, target: Target, method: Nested) -> None:
    source = sources(variant, torch.float32)
    whole = write_grown(source.plan(target, method, seed=7), source.reader, tmp_path / "whole")
    split_plan = source.plan(target, method, seed=7, max_shard_bytes=20_000)
    split = write_grown(split_plan, source.reader, tmp_path / "split")
    other = write_grown(source.plan(target, method, seed=8), source.reader, tmp_path / "other")
    assert len(split_plan.shards) > 3
    assert shard_bodies(whole) == shard_bodies(split)
    assert shard_bodies(whole) != shard_bodies(other)


@every_method
def test_order_of_streaming(sources: Sources, variant: str, target: Target, method: Nested) -> None:
    source = sources(variant)
    plan = source.plan(target, method, seed=7)
    forwards = grown_tensors(plan, source.reader)
    grower = Grower(plan.operator, plan.source, plan.target)
    for t in reversed(plan.tensors):
        backwards = grower.grow(t.parameter, t.layer, source_fetch(plan, source.reader, t.parameter))
        assert torch.equal(backwards, forwards[t.name]), t.name


def test_no_two_tensors_share_their_noise(sources: Sources) -> None:
    source = sources("llama")
    grown = grown_tensors(source.plan({"hidden_size": 64, "num_hidden_layers": 4}, "pad"), source.reader)
    names = [f"model.layers.{layer}.mlp.{module}.weight" for layer in range(4) for module in ("gate_proj", "up_proj")]
    rows = torch.stack([grown[name][-1] / grown[name][-1].norm() for name in names])
    assert float((rows @ rows.T - torch.eye(len(names))).abs().max()) < 0.6


def noise_of(source: Source, target: Target, snr_db: float) -> tuple[dict[str, Tensor], dict[str, Tensor], Any]:
    """The grown tensors without noise, the noise alone, and the plan with it."""
    noisy = source.plan(target, {"name": "hypercloning", "snr_db": snr_db})
    plain = grown_tensors(source.plan(target, "hypercloning"), source.reader)
    added = grown_tensors(noisy, source.reader)
    return plain, {name: added[name] - plain[name] for name in plain}, noisy


def test_null_space_noise_cancels_over_the_copies_and_breaks_their_symmetry(sources: Sources) -> None:
    plain, noise, plan = noise_of(sources("llama"), {"hidden_size": 64, "intermediate_size": 176}, snr_db=10)
    hidden, units = (dense(plan.operator.axes[axis].expand) for axis in ("hidden", "intermediate"))
    attention = torch.kron(dense(plan.operator.axes["heads"].expand), torch.eye(8, dtype=torch.float64))
    readers = {"q_proj": hidden, "k_proj": hidden, "v_proj": hidden, "gate_proj": hidden, "up_proj": hidden}
    readers |= {"o_proj": attention, "down_proj": units}
    for name, added in noise.items():
        module = name.split(".")[-2]
        if module not in readers and module != "lm_head":
            assert not added.any(), name
            continue
        assert float((added @ readers.get(module, hidden)).abs().max()) < 1e-14, name
        assert float(added.abs().min()) > 0, name
        halves = (plain[name] + added).chunk(2, 1)
        assert float((halves[0] - halves[1]).abs().max()) > 1e-3, name
        assert torch.equal(*plain[name].chunk(2, 1)), name


@pytest.mark.parametrize("snr_db", [-10, 0, 20])
def test_signal_to_noise_ratio(sources: Sources, snr_db: int) -> None:
    """With k = 4 copies the projection off the reached directions takes a quarter of the noise's power."""
    plain, noise, _ = noise_of(sources("gpt2"), {"hidden_size": 128}, snr_db)
    name = "transformer.h.0.mlp.c_fc.weight"
    signal = plain[name] - plain[name].mean()
    measured = 20 * log10(float(signal.std() / noise[name].std())) + 10 * log10(3 / 4)
    assert measured == pytest.approx(snr_db, abs=0.5)


def test_padded_columns_are_free_and_random(sources: Sources) -> None:
    source = sources("gpt2-untied")
    tensors = grown_tensors(source.plan({"hidden_size": 48}, {"name": "lemon", "noise": 2.0}), source.reader)
    silent = grown_tensors(source.plan({"hidden_size": 48}, {"name": "lemon", "noise": 0.0}), source.reader)
    for name, old in silent.items():
        reads_hidden = name.endswith(("c_attn.weight", "c_fc.weight", "lm_head.weight"))
        added = tensors[name] - old
        if not reads_hidden:
            assert not added.any(), name
            continue
        reading = added if name.startswith("lm_head") else added.T
        assert not reading[:, :32].any(), name
        spread = 2 * float(source.reader.tensor(name).std(correction=0))
        assert float(reading[:, 32:].std()) == pytest.approx(spread, rel=0.1), name


def test_pad_leaves_old_rows_blind_and_draws_new_ones_as_wide_as_the_weight(sources: Sources) -> None:
    source = sources("llama", torch.float32)
    tensors = grown_tensors(source.plan({"hidden_size": 64}, {"name": "pad", "scale": 0.5}), source.reader)
    for layer, module in ((0, "self_attn.q_proj"), (1, "self_attn.k_proj"), (0, "mlp.gate_proj"), (1, "mlp.down_proj")):
        name = f"model.layers.{layer}.{module}.weight"
        old, new = source.reader.tensor(name), tensors[name]
        rows, columns = old.shape
        assert torch.equal(new[:rows, :columns], old)
        assert not new[:rows, columns:].any()
        assert float(new[rows:].std()) == pytest.approx(0.5 * float(old.std(correction=0)), rel=0.1)
    embedding, old = tensors["model.embed_tokens.weight"], source.reader.tensor("model.embed_tokens.weight")
    assert torch.equal(embedding[:, :32], old)
    assert float(embedding[:, 32:].std()) == pytest.approx(0.5 * float(old.std(correction=0)), rel=0.1)
    assert not tensors["lm_head.weight"][:, 32:].any()


@pytest.mark.parametrize(
    ("method", "drawn"),
    [
        pytest.param({"name": "pad", "scale": 0}, (), id="pad"),
        # The split of copied heads and intermediate units is drawn too, and shows where they are read.
        pytest.param({"name": "lemon", "noise": 0}, ("attn.c_proj.weight", "mlp.c_proj.weight"), id="lemon"),
    ],
)
def test_no_noise_where_none_is_wanted(sources: Sources, method: Nested, drawn: tuple[str, ...]) -> None:
    source = sources("gpt2")
    first, second = (grown_tensors(source.plan({"hidden_size": 48}, method, seed=s), source.reader) for s in (1, 2))
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]) != name.endswith(drawn), name


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_noise_is_drawn_wide_whatever_the_source_is_stored_in(sources: Sources, dtype: torch.dtype) -> None:
    """In the source's own dtype the noise would not cancel over the copies."""
    source = sources("gpt2", dtype)
    target = {"hidden_size": 64}
    plain = grown_tensors(source.plan(target, "hypercloning"), source.reader)
    noisy = grown_tensors(source.plan(target, {"name": "hypercloning", "snr_db": 0}), source.reader)
    name = "transformer.h.0.mlp.c_fc.weight"
    noise = noisy[name] - plain[name].float()
    assert noise.dtype is torch.float32
    assert float((noise[:32] + noise[32:]).abs().max()) < 1e-6 * float(noise.abs().max())


def test_new_units_of_long_axes_differ_in_every_row(tmp_path: Path) -> None:
    source = Source.open(tiny_gpt2(tmp_path / "source", n_embd=64))
    tensors = grown_tensors(source.plan({"hidden_size": 256}, "pad"), source.reader)
    rows = tensors["transformer.h.0.mlp.c_fc.weight"].T[256:]
    near = (rows @ rows.T).fill_diagonal_(0).abs().max() / rows.pow(2).sum(1).max()
    assert float(near) < 6 / sqrt(256)
