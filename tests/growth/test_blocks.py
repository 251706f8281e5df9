"""Tensors grown a few rows at a time: the same bits as whole, and the memory around them."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import torch

from growth.ahead import ahead
from growth.apply import Grower
from growth.buffers import Buffers
from growth.checkpoint import CheckpointReader
from growth.errors import InvalidCheckpoint
from growth.expand import source_fetch
from growth.local_folder import LocalFolder
from growth.operators.method import Nested
from growth.plan import DTYPES, Dtype
from tests.growth.growing import Target
from tests.growth.variants import Sources

METHODS: dict[str, Nested] = {
    "hypercloning": "hypercloning",
    "hypercloning+noise": {"name": "hypercloning", "snr_db": 10},
    "lemon": "lemon",
    "net2net": "net2net",
    "bert2bert": "bert2bert",
    "pad": "pad",
    "random": "random",
}
# More than a block of 2**20 numbers in tensors that have many rows, and in tensors that have many columns.
LONG: Target = {"hidden_size": 64, "intermediate_size": 40_000}


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("variant", ["llama", "gpt2"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_blocks_are_the_rows_of_the_whole(sources: Sources, variant: str, method: Nested, dtype: Dtype) -> None:
    source = sources(variant, torch.bfloat16)
    plan = source.plan(LONG, method, dtype=dtype, seed=4)
    grower, kind = Grower(plan.operator, plan.source, plan.target), getattr(torch, dtype)
    several = 0
    for tensor in plan.tensors:
        fetch = source_fetch(plan, source.reader, tensor.parameter)
        blocks = list(grower.blocks(tensor.parameter, tensor.layer, fetch, kind))
        several += len(blocks) > 1
        assert torch.equal(torch.cat(blocks), grower.grow(tensor.parameter, tensor.layer, fetch, kind)), tensor.name
    assert several >= 4


def test_ahead_gives_the_items_in_order() -> None:
    assert list(ahead(range(100), 4)) == list(range(100))
    assert list(ahead([], 4)) == []


def test_ahead_makes_no_more_than_it_may_hold() -> None:
    made = 0

    def items() -> Iterator[int]:
        nonlocal made
        for number in range(1, 101):
            made = number
            yield number

    with closing(ahead(items(), 4)) as found:
        assert next(found) == 1
        assert made <= 6
    assert made <= 6
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_ahead_raises_what_the_items_raise_where_it_is_their_turn() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ZeroDivisionError

    found = ahead(items(), 4)
    assert next(found) == 1
    with pytest.raises(ZeroDivisionError):
        next(found)


def test_memory_that_a_tensor_lies_in_is_not_lent_again() -> None:
    buffers = Buffers()
    kept = [torch.frombuffer(buffers.lend(8), dtype=torch.int64).fill_(number) for number in range(20)]
    assert [int(tensor) for tensor in kept] == list(range(20))
    views = [tensor.numpy().data for tensor in kept]
    del kept
    for number in range(20):
        torch.frombuffer(buffers.lend(8), dtype=torch.int64).fill_(-number)
    assert [view[0] for view in views] == list(range(20))


def test_memory_that_nothing_refers_to_is_lent_again() -> None:
    buffers = Buffers()
    places = {torch.frombuffer(buffers.lend(size), dtype=torch.uint8).data_ptr() for size in (100, 80, 100, 60)}
    assert len(places) == 1
    held = torch.frombuffer(buffers.lend(50), dtype=torch.uint8)
    assert torch.frombuffer(buffers.lend(50), dtype=torch.uint8).data_ptr() != held.data_ptr()


def test_a_source_that_ends_early_is_refused(sources: Sources, tmp_path: Path) -> None:
    source = sources("llama", torch.float32)
    (tmp_path / "model.safetensors").write_bytes((source.path / "model.safetensors").read_bytes()[:-100])
    reader = CheckpointReader(LocalFolder(tmp_path), source.checkpoint.tensors)
    last = max(source.checkpoint.tensors.values(), key=lambda tensor: tensor.start)
    with pytest.raises(InvalidCheckpoint, match="ends inside tensor"):
        reader.tensor(last.name)
