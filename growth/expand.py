"""Stream a grown checkpoint: shard by shard, header first, a few rows of one target tensor in memory at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from growth.ahead import ahead
from growth.apply import Grower
from growth.axes import Parameter, axis_sizes
from growth.checkpoint import CheckpointReader, Planned, raw_bytes, shard_header
from growth.contraction import wide
from growth.errors import InvalidCheckpoint
from growth.operators.operator import GrowthOperator
from growth.plan import Dtype, GrowthPlan, TargetTensor
from growth.residual import Fetch, drawn_tensor, spread
from growth.upcycling import copies_dense_rows

Written = TypeVar("Written", covariant=True)
TensorPlan = TypeVar("TensorPlan", bound=Planned)
_BLOCKS_AHEAD = 4


class ShardSink(Protocol[Written]):
    """A shard being written: all of its bytes, then `close`; or `abort`, and nothing is there."""

    def write(self, data: memoryview) -> None: ...
    def close(self) -> Written: ...
    def abort(self) -> None: ...


def expand(
    plan: GrowthPlan,
    operator: GrowthOperator,
    reader: CheckpointReader,
    open_shard: Callable[[int, int], ShardSink[Written]],
    on_progress: Callable[[float], None],
    device: str = "cpu",
) -> list[Written]:
    """Write every shard of `plan`, its tensors grown by `operator`, and return what each sink's `close` returned.

    `open_shard(index, nbytes)` opens a sink for exactly that many bytes. `on_progress` takes the share of the bytes
    written, after every few rows; what it raises stops the expansion. On any exception the open sink is aborted.
    Raises InvalidCheckpoint, before any shard is opened, where a head that should be tied is another one.
    Memory: the source tensors that one target tensor needs, in float32 where a map computes, and a few blocks of rows.
    """
    _refuse_untied_heads(plan, reader)
    grower = Grower(operator, plan.source, plan.target)
    return write_shards(
        plan.shards,
        plan.dtype,
        lambda tensor: grown_blocks(plan, grower, reader, tensor, device),
        open_shard,
        on_progress,
    )


def write_shards(
    shards: Sequence[Sequence[TensorPlan]],
    dtype: Dtype,
    grown: Callable[[TensorPlan], Iterable[Tensor]],
    open_shard: Callable[[int, int], ShardSink[Written]],
    on_progress: Callable[[float], None],
) -> list[Written]:
    """As `expand`, for whatever tensors `grown` gives in `dtype`, one after the other, each by its rows in order."""
    written: list[Written] = []
    done, total = 0, sum(tensor.nbytes for shard in shards for tensor in shard)
    # One thread for all of them: each new one may get a heap of its own, whose free memory no other uses.
    with closing(ahead(_raw_blocks(shards, grown), _BLOCKS_AHEAD)) as made:
        for index, shard in enumerate(shards):
            header = shard_header(shard, dtype)
            sink = open_shard(index, len(header) + sum(tensor.nbytes for tensor in shard))
            try:
                sink.write(memoryview(header))
                while (block := next(made)) is not None:
                    sink.write(block)
                    done += block.nbytes
                    on_progress(done / total)
                written.append(sink.close())
            except BaseException:
                sink.abort()
                raise
    return written


def _raw_blocks(
    shards: Sequence[Sequence[TensorPlan]], grown: Callable[[TensorPlan], Iterable[Tensor]]
) -> Iterator[memoryview | None]:
    """The bytes of every tensor, a few rows at a time; None at the end of each shard."""
    for shard in shards:
        for tensor in shard:
            yield from map(raw_bytes, grown(tensor))
        yield None


def _refuse_untied_heads(plan: GrowthPlan, reader: CheckpointReader) -> None:
    """Stock transformers does not tie a head that differs from the embedding, whatever the config says."""
    for copy, original in plan.repeats:
        if not torch.equal(reader.tensor(copy.name), reader.tensor(original.name)):
            raise InvalidCheckpoint(
                f"{copy.name} differs from {original.name}, to which config.json ties it; set tie_word_embeddings to "
                "false in the source's config.json, and grow it again."
            )


def grown_tensor(
    plan: GrowthPlan, grower: Grower, reader: CheckpointReader, tensor: TargetTensor, device: str = "cpu"
) -> Tensor:
    """One target tensor as it is written: grown in float32 or wider, cast once."""
    with torch.inference_mode():
        fetch = source_fetch(plan, reader, tensor.parameter, device)
        return grower.grow(tensor.parameter, tensor.layer, fetch, getattr(torch, plan.dtype))


def grown_blocks(
    plan: GrowthPlan, grower: Grower, reader: CheckpointReader, tensor: TargetTensor, device: str = "cpu"
) -> Iterator[Tensor]:
    """What `grown_tensor` gives, a few rows at a time."""
    fetch = source_fetch(plan, reader, tensor.parameter, device)
    yield from grower.blocks(tensor.parameter, tensor.layer, fetch, getattr(torch, plan.dtype))


def source_fetch(plan: GrowthPlan, reader: CheckpointReader, parameter: Parameter, device: str = "cpu") -> Fetch:
    """What reads the source's tensor of `parameter` for a layer, keeping the last one, which is often asked again."""
    last: dict[int | None, Tensor] = {}

    def fetch(layer: int | None) -> Tensor:
        if layer not in last:
            last.clear()
            last[layer] = _source_tensor(plan, reader, parameter, layer).to(device)
        return last[layer]

    return fetch


def _source_tensor(plan: GrowthPlan, reader: CheckpointReader, parameter: Parameter, layer: int | None) -> Tensor:
    name = parameter.tensor_name(layer)
    if name not in plan.source_tensors:
        # A router, which no dense model has.
        shape = parameter.shape({**axis_sizes(plan.target.sizes), **axis_sizes(plan.source.sizes)})
        return drawn_tensor(plan.seed, name, shape) * plan.target.initializer_range
    tensor = reader.tensor(plan.source_tensors[name].name)
    if not plan.expert_noise or not copies_dense_rows(plan.target, parameter):
        return tensor
    return wide(tensor) + drawn_tensor(plan.seed, name, tuple(tensor.shape)) * spread(tensor) * plan.expert_noise
