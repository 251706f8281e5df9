"""The Python SDK of the model-growth service: `GrowClient`, `AsyncGrowClient`, and the errors they raise."""

from client.async_sdk import AsyncGrowClient
from client.calls import JobFilter
from client.errors import (
    GrowError,
    JobFailed,
    NotFoundError,
    ProblemError,
    UnexpectedAnswer,
    Unreachable,
    WaitTimeout,
)
from client.sdk import GrowClient

__all__ = [
    "AsyncGrowClient",
    "GrowClient",
    "GrowError",
    "JobFailed",
    "JobFilter",
    "NotFoundError",
    "ProblemError",
    "UnexpectedAnswer",
    "Unreachable",
    "WaitTimeout",
]
