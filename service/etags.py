"""The ETag of a job's state: its version, and its place in the queue, which others' jobs move."""

from jobs.schema import JobState


def etag(job: JobState) -> str:
    """As the header has it, in quotes."""
    place = "" if job.queue_position is None else f"-{job.queue_position}"
    return f'"{job.version}{place}"'


def matches(job: JobState, if_none_match: str) -> bool:
    """Whether an `If-None-Match` header names this state (RFC 9110, section 13.1.2: weak comparison)."""
    named = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in named or etag(job) in named
