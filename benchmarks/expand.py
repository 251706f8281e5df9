"""The time to grow a checkpoint on a local disk over the time to write the same bytes, and the memory it takes.

The floor of time is `safetensors.torch.save_file` of the grown tensors from memory: the bytes must be written whatever
the method. Rounds are interleaved, so that a noisy machine troubles both alike; medians are compared.

    python -m benchmarks.expand [--rounds N] [--json FILE]
"""

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from growth.checkpoint import CheckpointReader
from growth.expand import expand
from growth.operators import parse_method
from growth.plan import GrowthPlan, make_plan
from growth.source import read_source
from storage import Storage, Uri
from storage.folder import Folder

MIB = 1 << 20


@dataclass(frozen=True)
class Case:
    """One growth of a bfloat16 Llama: (hidden, intermediate, layers, heads, vocabulary) and the target's sizes."""

    name: str
    source: tuple[int, int, int, int, int]
    target: dict[str, int]
    method: str


CASES = (
    Case(
        "2x wide and 2x deep",
        (1024, 2816, 4, 16, 100_000),
        {"hidden_size": 2048, "num_hidden_layers": 8},
        "hypercloning",
    ),
    Case("24 -> 48 layers", (1024, 4096, 24, 16, 32_000), {"num_hidden_layers": 48}, "stack"),
)


@dataclass(frozen=True)
class Measured:
    """Medians over the rounds; memory is the peak of what is anonymous, above imports and plan."""

    case: str
    parameters: int
    gigabytes: float
    expand_seconds: float
    save_file_seconds: float
    ratio: float
    expand_cpu_seconds: float
    save_file_cpu_seconds: float
    peak_mebibytes: float
    largest_tensor_mebibytes: float


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", type=Path)
    arguments.add_argument("--memory-of", nargs=3, metavar=("CASE", "SOURCE", "OUTPUT"), help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.memory_of:
        index, source, output = given.memory_of
        print(_peak_bytes(CASES[int(index)], Path(source), Path(output)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measured = [_measure(index, case, Path(folder, str(index)), given.rounds) for index, case in enumerate(CASES)]
    told = {"machine": platform.processor() or platform.machine(), "torch": torch.__version__, "rounds": given.rounds}
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({**told, "cases": [asdict(m) for m in measured]}, indent=1) + "\n")
    for m in measured:
        print(
            f"{m.case}: {m.parameters / 1e6:.0f}M parameters, {m.gigabytes:.2f} GB, {m.ratio:.2f} times save_file "
            f"({m.expand_seconds:.2f} s / {m.save_file_seconds:.2f} s), peak {m.peak_mebibytes:.0f} MiB "
            f"with a largest tensor of {m.largest_tensor_mebibytes:.0f} MiB"
        )


def _measure(index: int, case: Case, folder: Path, rounds: int) -> Measured:
    source = _write_source(case, folder / "source")
    plan = _plan(case, source)
    grown, floor = [], []
    for number in range(rounds):
        output = folder / f"round-{number}"
        grown.append(_timed(lambda output=output: _expand(plan, source, output)))  # type: ignore[misc]
        tensors = {name: tensor.clone() for name, tensor in load_file(output / "model.safetensors").items()}
        (output / "model.safetensors").unlink()
        floor.append(_timed(lambda tensors=tensors, output=output: save_file(tensors, output / "floor.safetensors")))  # type: ignore[misc]
        (output / "floor.safetensors").unlink()
    seconds, cpu = (statistics.median(times) for times in zip(*grown, strict=True))
    floor_seconds, floor_cpu = (statistics.median(times) for times in zip(*floor, strict=True))
    return Measured(
        case=case.name,
        parameters=plan.summary()["target"]["parameters"],
        gigabytes=round(plan.target_bytes / 1e9, 3),
        expand_seconds=round(seconds, 3),
        save_file_seconds=round(floor_seconds, 3),
        ratio=round(seconds / floor_seconds, 3),
        expand_cpu_seconds=round(cpu, 3),
        save_file_cpu_seconds=round(floor_cpu, 3),
        peak_mebibytes=round(_peak_in_a_process(index, source, folder / "memory") / MIB, 1),
        largest_tensor_mebibytes=round(plan.largest_tensor_bytes / MIB, 1),
    )


def _write_source(case: Case, folder: Path) -> Path:
    hidden, intermediate, layers, heads, vocabulary = case.source
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        vocab_size=vocabulary,
    )
    model = LlamaForCausalLM(config)
    nn.Module.to(model, torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def _plan(case: Case, source: Path) -> GrowthPlan:
    checkpoint = read_source(Folder(Storage(), Uri.parse(source.as_uri())))
    return make_plan(checkpoint.config, checkpoint.tensors, case.target, parse_method(case.method))


def _expand(plan: GrowthPlan, source: Path, output: Path) -> None:
    store = Storage()
    folder = Folder(store, Uri.parse(source.as_uri()))
    reader = CheckpointReader(folder, read_source(folder).tensors)
    shard = Uri.parse((output / "model.safetensors").as_uri())
    expand(plan, plan.operator, reader, lambda _, size: store.open_write(shard, size), lambda _: None)


def _timed(work: Callable[[], None]) -> tuple[float, float]:
    """Wall and CPU seconds."""
    started, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - started, time.process_time() - cpu


def _peak_in_a_process(index: int, source: Path, output: Path) -> int:
    command = [sys.executable, "-m", "benchmarks.expand", "--memory-of", str(index), str(source), str(output)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _peak_bytes(case: Case, source: Path, output: Path) -> int:
    """Largest anonymous memory of this process during the expansion, above that before it, sampled every 2 ms."""
    plan = _plan(case, source)
    before, largest, done = _anonymous_bytes(), 0, threading.Event()

    def sample() -> None:
        nonlocal largest
        while not done.wait(0.002):
            largest = max(largest, _anonymous_bytes())

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        _expand(plan, source, output)
    finally:
        done.set()
        sampler.join()
    return max(0, largest - before)


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
