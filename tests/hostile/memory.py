"""How much memory something takes at its highest, beyond what the process held before."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MIB = 1 << 20
SERVICE_BYTES = 192 * MIB
"""What no request may take of the service beyond what it holds when idle."""
CHILD_BYTES = 512 * MIB
"""What no input may take of a worker's child beyond that, where the model itself is tiny."""


class Peak:
    """Grown by, in bytes."""

    growth = 0


@contextmanager
def peak() -> Iterator[Peak]:
    """The growth of this process's resident memory inside of the block, as the kernel saw it."""
    measured = Peak()
    # Sets the high-water mark to what is resident now.
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS")
    yield measured
    measured.growth = max(0, status_bytes("VmHWM") - before)


def status_bytes(name: str, process: int | str = "self") -> int:
    """A line of a process's status, `VmRSS` or `VmHWM`."""
    text = Path(f"/proc/{process}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None, f"{name} of {process}"
    return int(found[1]) * 1024
