"""Growth on a local disk beside `safetensors.torch.save_file` of the same bytes, from memory."""

import os
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from benchmarks.expand.cases import Case, grow, plan_of, write_source
from benchmarks.expand.timing import interleaved
from storage import Storage, Uri

FLOOR = (
    "The grown bytes must be written once: save_file does just that, from memory, without a sync or a hash. Beside "
    "that the source is read once for each time that a layer is used, from the page cache here."
)
DURABLE_FLOOR = (
    "As the service writes: the file is on the disk and its SHA-256 is known when it is done. The floor is save_file "
    "and fsync; the hash has to overlap with both."
)


class PlainFile:
    """A file written as plainly as save_file does: no sync, no hash, visible while it grows."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)

    def write(self, data: memoryview) -> None:
        while data:
            data = data[self._file.write(data) :]

    def close(self) -> None:
        self._file.close()

    def abort(self) -> None:
        self._file.close()


def measure(case: Case, folder: Path, rounds: int) -> dict[str, Any]:
    """Ratios of medians: expansion over save_file, and the service's durable writer over save_file and fsync."""
    storage, source = Storage(), write_source(case, folder / "source")
    plan = plan_of(case, storage, source)
    output = folder / "model.safetensors"
    uri = Uri.parse(output.resolve().as_uri())
    grow(plan, storage, source, lambda _, _size: PlainFile(output))
    tensors = {name: tensor.clone() for name, tensor in load_file(output).items()}

    def clear() -> None:
        output.unlink(missing_ok=True)
        # What is still on its way to the disk would trouble whoever is timed next.
        os.sync()

    def save_durably() -> None:
        save_file(tensors, output)
        with output.open("rb") as file:
            os.fsync(file.fileno())

    seconds = interleaved(
        {
            "expand": lambda: grow(plan, storage, source, lambda _, _size: PlainFile(output)),
            "save_file": lambda: save_file(tensors, output),
            "expand_durably": lambda: grow(plan, storage, source, lambda _, size: storage.open_write(uri, size)),
            "save_file_and_fsync": save_durably,
        },
        rounds,
        clear,
    )
    clear()
    return {
        "case": case.told,
        "gigabytes": round(plan.target_bytes / 1e9, 3),
        "seconds": seconds,
        "ratio": round(seconds["expand"] / seconds["save_file"], 3),
        "durable_ratio": round(seconds["expand_durably"] / seconds["save_file_and_fsync"], 3),
    }
