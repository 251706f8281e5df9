"""The seeded jobs of a run: what each asks for, what its client does besides, and how it must end."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

Kind = Literal["growth", "wide", "fit", "impossible"]
Habit = Literal["patient", "cancels", "repeats"]

SHARES: dict[Kind, float] = {"growth": 0.80, "wide": 0.05, "fit": 0.07, "impossible": 0.08}
HABITS: dict[Habit, float] = {"patient": 0.68, "cancels": 0.12, "repeats": 0.20}
WIDER, DEEPER = {"hidden_size": 64}, {"num_hidden_layers": 4}
WIDE = {"hidden_size": 512, "num_hidden_layers": 4}
"""More than one part of a multipart upload."""
GROWTHS: tuple[tuple[object, dict[str, int]], ...] = (
    *((method, WIDER) for method in ("hypercloning", "lemon", "net2net", "bert2bert", "pad")),
    *((method, DEEPER) for method in ("identity", "stack", "interpolate")),
    *((method, WIDER | DEEPER) for method in ("hypercloning", {"name": "stack", "width": "lemon"})),
)
IMPOSSIBLE = {"hidden_size": 16}
FIT = {"name": "ligo", "steps": 25, "batch_size": 4, "held_out_every": 5, "init": {"name": "lemon", "depth": "stack"}}
FIT_TARGET = {"hidden_size": 48, "num_hidden_layers": 3}
LONGEST_PAUSE_SECONDS = 3.0


@dataclass(frozen=True)
class Asked:
    """One job of the run, whether or not it will be accepted."""

    number: int
    kind: Kind
    habit: Habit
    pause_seconds: float
    """Before the client cancels, or sends the same again."""
    body: dict[str, Any]

    @property
    def key(self) -> str:
        """The idempotency key."""
        return f"chaos-{self.number:05d}"

    @property
    def output(self) -> str:
        return str(self.body["output"])

    @property
    def twin(self) -> str:
        """Equal for jobs that must write the same tensors."""
        return repr((self.body["target"], self.body["method"]))


def workload(random: Random, jobs: int, root: str) -> Iterator[Asked]:
    """The run's jobs in order; `root` is where its sources lie and its outputs go."""
    for number in range(jobs):
        (kind,) = random.choices(list(SHARES), list(SHARES.values()))
        (habit,) = random.choices(list(HABITS), list(HABITS.values()))
        method, target = {
            "wide": ("lemon", WIDE),
            "fit": (FIT, FIT_TARGET),
            "impossible": ("hypercloning", IMPOSSIBLE),
        }.get(kind) or random.choice(GROWTHS)
        body: dict[str, Any] = {
            "source": f"{root}/source",
            "output": f"{root}/out-{number:05d}",
            "target": target,
            "method": method,
            "verify": kind == "growth" and random.random() < 0.1,
            "labels": {"kind": kind},
        }
        if kind == "fit":
            body["data"] = {"uri": f"{root}/text.txt", "sequence_length": 32}
        yield Asked(number, kind, habit, random.uniform(0.0, LONGEST_PAUSE_SECONDS), body)
