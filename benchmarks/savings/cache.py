"""Results of runs, one JSON line each, kept so that a benchmark that was interrupted goes on."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from benchmarks.savings.recipe import Recipe
from benchmarks.savings.runs import Result, Run, source_folder

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Kept = TypeVar("Kept", bound="DataclassInstance")


class Lines(Generic[Kept]):
    """Results by the JSON object that tells a run."""

    def __init__(self, work: Path, read: Callable[..., Kept]) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._file = work / "results.jsonl"
        self._known = dict(self._lines(read))

    def get(self, key: str) -> Kept | None:
        return self._known.get(key)

    def add(self, key: str, result: Kept) -> None:
        self._known[key] = result
        with self._file.open("a") as file:
            file.write(json.dumps({"run": json.loads(key), "result": asdict(result)}, sort_keys=True) + "\n")

    def _lines(self, read: Callable[..., Kept]) -> Iterator[tuple[str, Kept]]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        for line in lines:
            # The last line may be half written.
            if line.endswith("}}"):
                found = json.loads(line)
                yield json.dumps(found["run"], sort_keys=True), read(**found["result"])


class Results:
    """What is known of the runs of one recipe."""

    def __init__(self, work: Path, recipe: Recipe) -> None:
        self._work, self._recipe = work, recipe
        self._lines = Lines(work, Result)

    def get(self, run: Run) -> Result | None:
        """The result of `run`; of a source only where its checkpoint is there too."""
        found = self._lines.get(run.key(self._recipe))
        lost = run.kind == "source" and not source_folder(self._work, self._recipe, run).exists()
        return None if lost else found

    def add(self, run: Run, result: Result) -> None:
        """Keep `result`."""
        self._lines.add(run.key(self._recipe), result)
