"""The streamed expansion: shards, dtypes, progress, an end before the end, and memory."""

import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from growth.apply import Grower
from growth.config import ModelConfig
from growth.expand import expand
from growth.header import INDEX_FILE, SINGLE_FILE
from growth.local_folder import FileSink, shard_name
from growth.operators import parse_method
from growth.operators.method import Nested
from growth.plan import DTYPES, Dtype, GrowthPlan, make_plan
from tests.growth.folders import write_grown
from tests.growth.growing import Source, grown_tensors, load, outputs, relative_difference
from tests.growth.variants import Sources
from tests.tiny import tiny_llama

METHODS: dict[str, Nested] = {
    "hypercloning": {"name": "hypercloning", "snr_db": 20},
    "lemon": "lemon",
    "bert2bert": "bert2bert",
    "pad": "pad",
    "random": "random",
}
TARGET = {"hidden_size": 48, "num_hidden_layers": 3}
WHOLE = {"hidden_size": 64, "num_hidden_layers": 3}
every_method = pytest.mark.parametrize("name", METHODS)


def target_of(name: str) -> dict[str, int]:
    return WHOLE if name == "hypercloning" else TARGET


def tensors_in(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("max_shard_bytes", [1, 10_000, 50_000, 10**9])
def test_shards_hold_no_more_than_asked_for(sources: Sources, tmp_path: Path, max_shard_bytes: int) -> None:
    source = sources("llama", torch.float32)
    plan = source.plan(TARGET, "lemon", max_shard_bytes=max_shard_bytes)
    folder = write_grown(plan, source.reader, tmp_path / "grown")
    files = sorted(folder.glob("*.safetensors"))
    assert len(files) == len(plan.shards) == plan.summary()["shards"]
    assert (folder / INDEX_FILE).exists() == (files[0].name != SINGLE_FILE)
    for file in files:
        stored = load_file(file)
        assert len(stored) == 1 or sum(t.nbytes for t in stored.values()) <= max_shard_bytes
    for first, second in pairwise(plan.shards):
        assert sum(t.nbytes for t in first) + second[0].nbytes > max_shard_bytes
    assert tensors_in(folder).keys() == {tensor.name for tensor in plan.tensors}
    assert sum(t.nbytes for t in tensors_in(folder).values()) == plan.target_bytes
    assert relative_difference(source.outputs, outputs(load(folder)[0])) < 5e-5


@every_method
def test_what_is_written_is_what_one_tensor_at_a_time_gives(sources: Sources, tmp_path: Path, name: str) -> None:
    source = sources("gpt2", torch.float32)
    plan = source.plan(target_of(name), METHODS[name])
    written = tensors_in(write_grown(plan, source.reader, tmp_path / "grown"))
    expected = grown_tensors(plan, source.reader)
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[key], tensor) for key, tensor in expected.items())


@every_method
def test_a_sharded_source_gives_the_same_bytes(tmp_path: Path, name: str) -> None:
    whole, sharded = (Source.open(tiny_llama(tmp_path / str(size), max_shard_size=size)) for size in ("1GB", 30_000))
    assert len({tensor.file for tensor in sharded.checkpoint.tensors.values()}) > 3
    first, second = (
        write_grown(source.plan(target_of(name), METHODS[name]), source.reader, source.path / "grown")
        for source in (whole, sharded)
    )
    assert (first / SINGLE_FILE).read_bytes() == (second / SINGLE_FILE).read_bytes()


@every_method
@pytest.mark.parametrize("stored", DTYPES)
@pytest.mark.parametrize("written", DTYPES)
def test_arithmetic_in_float32_cast_once(
    sources: Sources, tmp_path: Path, name: str, stored: Dtype, written: Dtype
) -> None:
    source = sources("llama", getattr(torch, stored))
    wide = source.plan(target_of(name), METHODS[name], dtype="float32")
    plan = source.plan(target_of(name), METHODS[name], dtype=written)
    assert plan.target.raw["dtype"] == written
    expected = tensors_in(write_grown(wide, source.reader, tmp_path / "wide"))
    found = tensors_in(write_grown(plan, source.reader, tmp_path / "grown"))
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        assert tensor.dtype is torch.float32
        assert torch.equal(found[key], tensor.to(getattr(torch, written))), key


@pytest.mark.parametrize("stored", [*DTYPES, "float64"])
def test_the_dtype_left_out_is_the_source_s(sources: Sources, stored: str) -> None:
    plan = sources("gpt2", getattr(torch, stored)).plan(TARGET, "pad")
    assert plan.dtype == ("float32" if stored == "float64" else stored)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        pytest.param(["torch_dtype"], {"torch_dtype": "bfloat16"}, id="older-key"),
        pytest.param(["dtype", "torch_dtype"], {"dtype": "bfloat16", "torch_dtype": "bfloat16"}, id="both-keys"),
        pytest.param([], {"dtype": "bfloat16"}, id="no-key"),
    ],
)
def test_the_config_tells_the_dtype_under_the_keys_it_has(
    sources: Sources, keys: list[str], expected: dict[str, str]
) -> None:
    source = sources("llama", torch.float32)
    raw = {key: value for key, value in source.config.raw.items() if key != "dtype"} | dict.fromkeys(keys, "float32")
    older = ModelConfig.from_dict(raw)
    plan = make_plan(older, source.checkpoint.tensors, TARGET, parse_method("pad"), dtype="bfloat16")
    assert {key: value for key, value in plan.target.raw.items() if "dtype" in key} == expected


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_the_function_survives_a_short_dtype(sources: Sources, tmp_path: Path, stored: Dtype) -> None:
    source = sources("llama", getattr(torch, stored))
    grown, _ = load(write_grown(source.plan(WHOLE, "hypercloning"), source.reader, tmp_path / "grown"))
    assert grown.dtype is getattr(torch, stored)
    model, _ = load(source.path)
    assert relative_difference(outputs(model.float()), outputs(grown.float())) < (5e-5 if stored == "float16" else 1e-2)


def test_progress_rises_to_one_with_every_tensor(sources: Sources, tmp_path: Path) -> None:
    source = sources("bert", torch.float32)
    plan = source.plan({"hidden_size": 64}, "hypercloning", max_shard_bytes=30_000)
    told: list[float] = []
    write_grown(plan, source.reader, tmp_path / "grown", told.append)
    assert len(told) == len(plan.tensors)
    assert all(before < after for before, after in pairwise(told))
    assert told[-1] == 1.0
    assert told[0] == pytest.approx(plan.tensors[0].nbytes / plan.target_bytes)


class _Stopped(Exception):
    """What a caller may raise to end an expansion."""


def stop_after(tensors: int, kind: type[BaseException]) -> Callable[[float], None]:
    left = iter(range(tensors))

    def on_progress(_: float) -> None:
        if next(left, None) is None:
            raise kind

    return on_progress


@pytest.mark.parametrize("kind", [_Stopped, KeyboardInterrupt, SystemExit], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("tensors", [0, 7, 20])
def test_the_open_shard_is_aborted_when_the_expansion_ends_early(
    sources: Sources, tmp_path: Path, tensors: int, kind: type[BaseException]
) -> None:
    source = sources("gpt2", torch.float32)
    plan = source.plan(TARGET, "lemon", max_shard_bytes=30_000)
    with pytest.raises(kind):
        write_grown(plan, source.reader, tmp_path / "grown", stop_after(tensors, kind))
    whole = [i for i in range(len(plan.shards)) if sum(map(len, plan.shards[: i + 1])) <= tensors]
    assert sorted(path.name for path in (tmp_path / "grown").iterdir()) == [shard_name(plan, i) for i in whole]
    assert all(load_file(tmp_path / "grown" / shard_name(plan, i)) for i in whole)


def test_a_source_that_can_not_be_read_aborts_the_shard(tmp_path: Path) -> None:
    source = Source.open(tiny_llama(tmp_path / "source"))
    (source.path / SINGLE_FILE).unlink()
    with pytest.raises(FileNotFoundError):
        write_grown(source.plan(TARGET, "lemon"), source.reader, tmp_path / "grown")
    assert list((tmp_path / "grown").iterdir()) == []


class _FullDisk(FileSink):
    """A sink that takes everything but the end."""

    def close(self) -> Path:
        raise OSError("no space left")


def test_a_sink_that_can_not_close_is_aborted(sources: Sources, tmp_path: Path) -> None:
    source = sources("llama", torch.float32)
    plan: GrowthPlan = source.plan(TARGET, "lemon")
    with pytest.raises(OSError, match="no space left"):
        expand(plan, plan.operator, source.reader, lambda _, size: _FullDisk(tmp_path / "s", size), lambda _: None)
    assert list(tmp_path.iterdir()) == []


def test_a_fit_can_follow_an_expansion(sources: Sources, tmp_path: Path) -> None:
    """Maps that an expansion leaves in a cache must not be tensors that autograd refuses."""
    source = sources("llama", torch.float32)
    plan = source.plan(TARGET, "lemon", seed=11)
    write_grown(plan, source.reader, tmp_path / "grown")
    name = "model.layers.0.self_attn.o_proj.weight"
    leaf = source.reader.tensor(name).requires_grad_()
    target = next(tensor for tensor in plan.tensors if tensor.name == name)
    Grower(plan.operator, plan.source, plan.target).grow(target.parameter, 0, lambda _: leaf).sum().backward()  # type: ignore[no-untyped-call]
    assert leaf.grad is not None
    assert bool(leaf.grad.any())


def measured_peak(root: Path, layers: int) -> int:
    """Bytes above its start that a process of its own needs to grow a model of `layers` from 512 to 1024 wide."""
    source = tiny_llama(root / f"source-{layers}", hidden_size=512, intermediate_size=2048, num_hidden_layers=layers)
    command = [sys.executable, "-m", "tests.growth.peak", str(source), str(root / f"grown-{layers}"), "1024"]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read from Linux' /proc")
def test_memory_is_bounded_by_the_largest_tensor(tmp_path: Path) -> None:
    """Six times as many layers make no difference; much of the peak is code and threads, touched for the first time."""
    largest = 4 * 1024 * 4096
    few, many = measured_peak(tmp_path, 1), measured_peak(tmp_path, 6)
    assert sum(file.stat().st_size for file in (tmp_path / "grown-6").iterdir()) > 20 * largest
    assert max(few, many) < 2 * largest + 150e6
    assert many < few + 6 * largest
