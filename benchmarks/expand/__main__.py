"""Time and memory of growing checkpoints, beside what the bytes alone must cost.

    python -m benchmarks.expand [--rounds N] [--json]

Rounds are interleaved and medians compared; `--json` prints one object.
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import torch
import transformers

from benchmarks.expand import cases, disk, memory, s3
from tests.servers import moto_server, rclone_server


def main() -> None:
    """Run every measurement and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--json", action="store_true")
    given = arguments.parse_args()
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(Path(folder), given.rounds)
    print(json.dumps(found, indent=1) if given.json else "\n".join(_lines(found)))


def _measured(folder: Path, rounds: int) -> dict[str, Any]:
    told: dict[str, Any] = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform(terse=True), "torch": torch.__version__},
        "rounds": rounds,
        "disk": {"floor": disk.FLOOR, "durable_floor": disk.DURABLE_FLOOR, "cases": []},
        "memory": {"floor": memory.FLOOR, "cases": []},
        "s3": {"floor": s3.FLOOR, "servers": {}},
    }
    for name in ("DOUBLED", "DEEPENED"):
        told["disk"]["cases"].append(disk.measure(getattr(cases, name), folder / name, rounds))
    for name in ("DOUBLED", "DEEPENED", "PADDED", "LARGE"):
        told["memory"]["cases"].append(memory.measure(name, folder / f"memory-{name}"))
    with moto_server() as server:
        told["s3"]["servers"]["moto"] = s3.measure(cases.STORED, server, folder, rounds)
    with rclone_server(folder / "rclone") as server:
        told["s3"]["servers"]["rclone"] = s3.measure(cases.STORED, server, folder, rounds)
    return told


def _lines(found: dict[str, Any]) -> list[str]:
    lines = []
    for case in found["disk"]["cases"]:
        lines.append(f"{case['case']}: {case['ratio']} times save_file, {case['durable_ratio']} times with fsync")
    for case in found["memory"]["cases"]:
        lines.append(f"{case['case']}: peak {case['peak_mebibytes']} MiB, bound {case['bound_mebibytes']} MiB")
    for server, case in found["s3"]["servers"].items():
        lines.append(f"{server}: {case['share_of_upload_throughput']} of upload_file's throughput")
    return lines


if __name__ == "__main__":
    main()
