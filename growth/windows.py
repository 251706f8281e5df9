"""Which tensors of a checkpoint are fetched together: a request costs a store as long as a megabyte or more of data."""

from collections.abc import Iterable
from dataclasses import dataclass

from growth.header import TensorInfo

WINDOW_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Window:
    """Bytes of a file that hold whole tensors of one dtype, back to back."""

    file: str
    start: int
    stop: int

    @property
    def nbytes(self) -> int:
        return self.stop - self.start


def windows_of(tensors: Iterable[TensorInfo]) -> dict[TensorInfo, Window]:
    """The window of each tensor: neighbours up to `WINDOW_BYTES`, or one larger tensor alone.

    Of one dtype, so that every tensor lies in the window as aligned as the first one does.
    """
    found: dict[TensorInfo, Window] = {}
    for together in _together(tensors):
        window = Window(together[0].file, together[0].start, together[-1].stop)
        found.update(dict.fromkeys(together, window))
    return found


def _together(tensors: Iterable[TensorInfo]) -> Iterable[list[TensorInfo]]:
    together: list[TensorInfo] = []
    for tensor in sorted(tensors, key=lambda tensor: tensor.place):
        if together and not _joins(tensor, together):
            yield together
            together = []
        together.append(tensor)
    if together:
        yield together


def _joins(tensor: TensorInfo, together: list[TensorInfo]) -> bool:
    first, last = together[0], together[-1]
    beside = (tensor.file, tensor.dtype, tensor.start) == (last.file, last.dtype, last.stop)
    return beside and tensor.stop - first.start <= WINDOW_BYTES
