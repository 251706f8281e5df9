"""Results of runs, one JSON line each, kept so that a benchmark that was interrupted goes on."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.savings.recipe import Recipe
from benchmarks.savings.runs import Result, Run, source_folder


class Results:
    """What is known of the runs of one recipe."""

    def __init__(self, work: Path, recipe: Recipe) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self._work, self._recipe = work, recipe
        self._file = work / "results.jsonl"
        self._known = dict(self._read())

    def get(self, run: Run) -> Result | None:
        """The result of `run`; of a source only where its checkpoint is there too."""
        found = self._known.get(run.key(self._recipe))
        lost = run.kind == "source" and not source_folder(self._work, self._recipe, run).exists()
        return None if lost else found

    def add(self, run: Run, result: Result) -> None:
        """Keep `result`."""
        key = run.key(self._recipe)
        self._known[key] = result
        with self._file.open("a") as file:
            file.write(json.dumps({"run": json.loads(key), "result": asdict(result)}, sort_keys=True) + "\n")

    def _read(self) -> Iterator[tuple[str, Result]]:
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        for line in lines:
            # The last line may be half written.
            if line.endswith("}}"):
                read = json.loads(line)
                yield json.dumps(read["run"], sort_keys=True), Result(**read["result"])
