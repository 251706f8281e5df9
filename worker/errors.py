"""What can go wrong in a worker that neither the engine nor a store knows of, each told in one sentence.

WorkerError
├── OutputExists      the output holds what this job did not write
├── SourceChanged     the source is no longer the one that the job was planned for
├── FitDiverged       the loss of a fit is no longer a number
├── TrainingDiverged  nor is that of the source's training
├── TooManyProcesses  there are fewer examples in a step than processes to share them
└── FitFailed         a process that shared a fit has told why it failed
"""

from jobs.schema import Failure


class WorkerError(Exception):
    """`str(error)` says what, where and what to do instead; `field` points into the request."""

    code = "worker_error"
    field = ""
    hint: str | None = None


class OutputExists(WorkerError):
    code = "output_exists"
    field = "/output"
    hint = "An output is never overwritten: name an empty prefix, or delete what lies there."


class SourceChanged(WorkerError):
    code = "source_changed"
    field = "/source"
    hint = "Submit the job again: its plan is then made for the source as it is now."


class FitDiverged(WorkerError):
    code = "fit_diverged"
    field = "/method"
    hint = "Lower the method's learning rates, or look for what is unusual in the data."


class TrainingDiverged(WorkerError):
    code = "training_diverged"
    field = "/source/pretrain"
    hint = "Lower the learning rate or lengthen the warm-up, or look for what is unusual in the data."


class TooManyProcesses(WorkerError):
    code = "invalid_method"
    field = "/method/batch_size"


class FitFailed(WorkerError):
    """Carries what the process told, as it is."""

    def __init__(self, failure: Failure, *, transient: bool) -> None:
        super().__init__(failure.detail)
        self.failure, self.transient = failure, transient
