"""Retries, waiting and the reading of answers, as steps that any transport can take.

A generator yields what to do next, a `Call` to send or a `Pause`, and gets the `Reply` or the `Unreachable` sent back.
So the synchronous and the asynchronous client share every decision and differ in I/O alone.
"""

import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from random import SystemRandom
from typing import Any, TypeVar

from pydantic import ValidationError

from client import calls
from client.calls import Answer, Call
from client.errors import JobFailed, NotFoundError, ProblemError, UnexpectedAnswer, Unreachable, WaitTimeout
from jobs.schema import Problem, Status
from jobs.tuning import AnyJob

RETRIED = frozenset({502, 503, 504})
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
LONGEST_RETRY_AFTER_SECONDS = 60.0
PATIENT_RETRIES = 20
"""For whoever waits for a job: a restart of the service, of a minute or so, goes by unseen."""
POLL_SECONDS = 25
LEAST_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Reply:
    url: str
    status: int
    headers: Mapping[str, str]
    """Under lower-case names."""
    body: bytes


@dataclass(frozen=True)
class Pause:
    seconds: float


Result = TypeVar("Result")
Step = Call[Any] | Pause
Steps = Generator[Step, Reply | Unreachable | None, Result]


def exchange(call: Call[Answer], retries: int) -> Steps[Answer]:
    """The answer, after up to `retries` repetitions. Raises ProblemError, Unreachable, UnexpectedAnswer."""
    tried = 0
    while True:
        reply = yield call
        assert reply is not None
        pause_seconds = _pause_before_retry(reply, tried)
        if pause_seconds is None or tried == retries:
            return read(reply, call.answer)
        yield Pause(pause_seconds)
        tried += 1


def wait(job_id: str, timeout_seconds: float | None, check: bool) -> Steps[AnyJob]:
    """The job once it has ended. Raises WaitTimeout, JobFailed, and what `exchange` raises."""
    started = time.monotonic()
    while True:
        polled = time.monotonic()
        left = POLL_SECONDS if timeout_seconds is None else max(0.0, started + timeout_seconds - polled)
        job = (yield from exchange(calls.job(job_id, int(min(left, POLL_SECONDS))), PATIENT_RETRIES)).root
        if job.status.terminal:
            break
        if timeout_seconds is not None and time.monotonic() - started >= timeout_seconds:
            raise WaitTimeout(job, timeout_seconds)
        # The service answers at every change, and a job that makes progress changes often.
        yield Pause(max(0.0, min(left, LEAST_POLL_SECONDS) - (time.monotonic() - polled)))
    if check and job.status != Status.SUCCEEDED:
        raise JobFailed(job)
    return job


def read(reply: Reply | Unreachable, answer: type[Answer]) -> Answer:
    """The body as the schema has it. Raises ProblemError, Unreachable, UnexpectedAnswer."""
    if isinstance(reply, Unreachable):
        raise reply
    if reply.status >= 400:
        raise _problem(reply)
    try:
        return answer.model_validate_json(reply.body)
    except ValidationError as error:
        raise UnexpectedAnswer(reply.url, f"its {answer.__name__} {_first(error)}") from None


def worth_retrying(reply: Reply | Unreachable) -> bool:
    return isinstance(reply, Unreachable) or reply.status in RETRIED


def _pause_before_retry(reply: Reply | Unreachable, tried: int) -> float | None:
    """None where a repetition would not help, or only later than anyone would wait for it."""
    if not worth_retrying(reply):
        return None
    backoff = min(FIRST_PAUSE_SECONDS * 2**tried, LONGEST_PAUSE_SECONDS) * SystemRandom().uniform(0.75, 1.25)
    asked = 0.0 if isinstance(reply, Unreachable) else _retry_after(reply)
    return max(backoff, asked) if asked <= LONGEST_RETRY_AFTER_SECONDS else None


def _retry_after(reply: Reply) -> float:
    """Seconds; a date, which this service never sends, counts as nothing asked."""
    value = reply.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else 0.0


def _problem(reply: Reply) -> ProblemError | UnexpectedAnswer:
    try:
        problem = Problem.model_validate_json(reply.body)
    except ValidationError:
        return UnexpectedAnswer(reply.url, f"it answers HTTP {reply.status} without problem details")
    return NotFoundError(problem) if problem.status == 404 else ProblemError(problem)


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)[0]
    place = "/".join(map(str, found["loc"]))
    return f"has {found['msg'].lower()} at /{place}"
