"""What can go wrong in a worker that neither the engine nor a store knows of, each told in one sentence.

WorkerError
├── OutputExists      the output holds what this job did not write
├── SourceChanged     the source is no longer the one that the job was planned for
├── FitDiverged       the loss of a fit is no longer a number
└── TrainingDiverged  nor is that of the source's training
"""


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
