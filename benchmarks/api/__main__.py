"""What the API bears, beside the floor: the same server's `/healthz`.

    python -m benchmarks.api [--smoke] [--json]

uvicorn in one process over Valkey with `appendonly yes` and `appendfsync always`; clients are processes of their own on
the same machine. Rounds are interleaved; `--json` prints one object, `--smoke` takes seconds and proves nothing.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.api import listeners, listing, rates, records
from benchmarks.api.load import Clients
from benchmarks.api.served import served

PROCESSES = 2
FULL = {"rounds": 5, "requests": 1_000, "jobs": 10_000, "listeners": 1_000, "few": 100, "many": 100_000, "pages": 40}
SMOKE = {"rounds": 1, "requests": 20, "jobs": 40, "listeners": 10, "few": 10, "many": 40, "pages": 2}


def main(given: Sequence[str] | None = None) -> None:
    """Run every measurement and print what was found."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--smoke", action="store_true")
    arguments.add_argument("--json", action="store_true")
    asked = arguments.parse_args(given)
    with tempfile.TemporaryDirectory() as folder:
        found = _measured(Path(folder), SMOKE if asked.smoke else FULL)
    print(json.dumps(found, indent=1) if asked.json else "\n".join(_lines(found)))


def _measured(folder: Path, sizes: dict[str, int]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(terse=True),
            "load_before": round(os.getloadavg()[0], 1),
        },
        "server": "one uvicorn process; Valkey with appendonly yes, appendfsync always",
    }
    with closing(Clients(PROCESSES)) as clients:
        for name in ("few", "rates", "many"):
            (folder / name).mkdir()
        with served(folder / "rates") as service:
            told["rates"] = _said(rates.measure(service, clients, sizes["rounds"], sizes["requests"]))
            told["listeners"] = _said(listeners.measure(service, clients, sizes["listeners"]))
            told["records"] = _said(records.measure(service, clients, sizes["jobs"]))
        with served(folder / "few", 1) as few, served(folder / "many", 1) as many:
            listing.fill(few, sizes["few"])
            listing.fill(many, sizes["many"])
            told["listing"] = _said(listing.measure(few, many, (sizes["few"], sizes["many"]), sizes["pages"]))
    told["machine"]["load_after"] = round(os.getloadavg()[0], 1)
    return told


def _said(part: dict[str, Any]) -> dict[str, Any]:
    """A run takes minutes: whoever waits sees each part as soon as it is there."""
    print(json.dumps(part), file=sys.stderr)
    return part


def _lines(found: dict[str, Any]) -> list[str]:
    rate, half = found["rates"], found["rates"]["at_half_the_peak"]
    return [
        f"POST /grow: {rate['ratio']} of the floor; at half its peak p99 {half['p99_milliseconds']} ms",
        f"records: {found['records']['records']} of {found['records']['keys']} keys",
        f"listeners: {found['listeners']['listeners_with_every_event_in_order']} of {found['listeners']['listeners']}",
        *(f"GET /jobs, {name}: {page['ratio']} times" for name, page in found["listing"]["pages"].items()),
    ]


if __name__ == "__main__":
    main()
