"""What a job's process uses of its machine, told to the worker every few seconds and once more at the end."""

import resource
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from storage.traffic import Traffic
from worker.messages import Used

SECONDS = 5.0
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass
class Steps:
    """Counted by whoever hears of them."""

    fit: int = 0
    training: int = 0


class Meter:
    """Tells from `with` to its end, from a thread of its own."""

    def __init__(self, steps: Steps, traffic: Traffic, tell: Callable[[Used], None], seconds: float = SECONDS) -> None:
        self._steps = steps
        self._traffic = traffic
        self._tell = tell
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._tell(self._used())

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self._tell(self._used())

    def _used(self) -> Used:
        gpu = _gpu_memory()
        return Used(
            bytes_read=self._traffic.bytes_read,
            bytes_written=self._traffic.bytes_written,
            fit_steps=self._steps.fit,
            training_steps=self._steps.training,
            host_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
            gpu_memory_bytes=gpu and gpu[0],
            gpu_memory_limit_bytes=gpu and gpu[1],
        )


def _gpu_memory() -> tuple[int, int] | None:
    """Bytes in use, by whatever process, and in all, of the GPU that this process works on; None where it has none."""
    # Asked for only where the job itself has loaded torch and begun on a GPU: either takes memory and time.
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is None or not getattr(cuda, "is_initialized", bool)():
        return None
    free, total = cuda.mem_get_info()
    return total - free, total
