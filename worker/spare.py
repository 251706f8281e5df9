"""The process that waits for a worker's next job, so that the job does not wait for the process.

To import torch and transformers takes seconds, more than all of a small growth. So a worker without a job keeps one
child that has done so. Each does one job at most: memory, and whatever a job has broken, ends with it.
"""

from worker.process import Child


class Spare:
    """At most one waiting child."""

    def __init__(self) -> None:
        self._waiting: Child | None = None

    def prepare(self) -> None:
        """Starts one, where none waits."""
        if self._waiting is None:
            self._waiting = Child()

    def take(self) -> Child:
        """The one that waits, or, where it has died meanwhile or there is none, a new one."""
        child, self._waiting = self._waiting, None
        if child is None:
            return Child()
        if not child.running:
            child.stop(0)
            return Child()
        return child
