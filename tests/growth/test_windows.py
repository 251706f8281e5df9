"""What is fetched together: whole tensors, back to back, of one dtype, and nothing twice."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from growth import windows
from growth.checkpoint import CheckpointReader
from growth.header import TensorInfo
from growth.local_folder import LocalFolder
from growth.source import read_single, read_tensors
from growth.windows import WINDOW_BYTES, windows_of

MIB = 1 << 20


class Counting(LocalFolder):
    """Notes each range that is read into memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read_ranges: list[tuple[str, int, int]] = []

    def read_into(self, name: str, buffer: memoryview, start: int = 0) -> int:
        self.read_ranges.append((name, start, start + len(buffer)))
        return super().read_into(name, buffer, start)


def _info(name: str, start: int, nbytes: int, *, file: str = "a", dtype: str = "U8") -> TensorInfo:
    return TensorInfo(name, file, dtype, (nbytes,), start, start + nbytes)


def test_neighbours_share_a_window_up_to_its_bytes() -> None:
    small = [_info(str(n), 100 + n * 1000, 1000) for n in range(3000)]
    found = windows_of(small)
    assert all(window.nbytes <= WINDOW_BYTES for window in found.values())
    assert len(set(found.values())) == -(-3000 * 1000 // (WINDOW_BYTES // 1000 * 1000))
    assert all(window.start <= tensor.start < tensor.stop <= window.stop for tensor, window in found.items())


@pytest.mark.parametrize(
    "other",
    [
        _info("b", 1000, 1000, file="b"),
        _info("b", 1000, 1000, dtype="F32"),
        _info("b", 1001, 1000),
        _info("b", 1000, WINDOW_BYTES),
    ],
    ids=["file", "dtype", "gap", "large"],
)
def test_what_parts_windows(other: TensorInfo) -> None:
    first = _info("a", 0, 1000)
    found = windows_of([other, first])
    assert (found[first].nbytes, found[other].nbytes) == (1000, other.nbytes)


def test_a_small_checkpoint_takes_one_request(tmp_path: Path) -> None:
    tensors = {f"layer.{n}": torch.randn(n + 1, 8) for n in range(40)}
    save_file(tensors, tmp_path / "model.safetensors")
    folder = Counting(tmp_path)
    reader = CheckpointReader(folder, read_tensors(folder, folder.names()))
    for name in random.Random(0).sample(sorted(tensors), len(tensors)):
        assert torch.equal(reader.tensor(name), tensors[name])
    assert len(folder.read_ranges) == 1


def test_every_tensor_in_any_order_is_what_stock_safetensors_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows so small that they come and go, beside tensors larger than one, empty ones and several dtypes."""
    monkeypatch.setattr(windows, "WINDOW_BYTES", 256)
    monkeypatch.setattr("growth.checkpoint.WINDOW_BYTES", 256)
    sizes = random.Random(1)
    dtypes = (torch.float32, torch.bfloat16, torch.float64, torch.float16)
    for file in ("model-1.safetensors", "model-2.safetensors"):
        tensors = {f"{file}.{n}": torch.randn(sizes.randrange(60), 3).to(dtypes[n % 4]) for n in range(50)}
        save_file(tensors, tmp_path / file)
    stored = {name: t for path in tmp_path.glob("*.safetensors") for name, t in load_file(path).items()}
    folder = LocalFolder(tmp_path)
    infos = {name: info for file in folder.names() for name, info in read_single(folder, file).items()}
    reader = CheckpointReader(folder, infos)
    names = sorted(stored) * 3
    random.Random(2).shuffle(names)
    for name in names:
        assert reader.tensor(name).dtype == stored[name].dtype
        assert torch.equal(reader.tensor(name), stored[name])
