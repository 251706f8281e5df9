"""Print by how many bytes the memory of a process peaks above its start while it grows a checkpoint.

`python -m tests.growth.peak SOURCE OUTPUT HIDDEN_SIZE`
"""

import re
import sys
from pathlib import Path

from growth.checkpoint import CheckpointReader
from growth.local_folder import LocalFolder
from growth.operators import parse_method
from growth.plan import make_plan
from growth.source import read_source
from tests.growth.folders import write_grown

PROCESS = Path("/proc/self")


def resident_bytes(field: str) -> int:
    """The resident size of this process: `VmRSS` now, `VmHWM` at its highest."""
    found = re.search(rf"^{field}:\s+(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main() -> None:
    """Grow SOURCE by clones with noise, every step of whose arithmetic makes tensors of the target's size."""
    folder, output, hidden_size = LocalFolder(Path(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
    source, method = read_source(folder), parse_method({"name": "hypercloning", "snr_db": 20})
    plan = make_plan(source.config, source.tensors, {"hidden_size": hidden_size}, method, max_shard_bytes=1 << 25)
    # Linux: the highest mark starts anew, else imports would have set it.
    (PROCESS / "clear_refs").write_text("5")
    start = resident_bytes("VmRSS")
    write_grown(plan, CheckpointReader(folder, source.tensors), output)
    print(resident_bytes("VmHWM") - start)


if __name__ == "__main__":
    main()
