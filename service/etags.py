"""The ETag of a job's state: its version, and its place in the queue and its wait, which others' jobs move."""

from jobs.schema import JobState


def etag(job: JobState) -> str:
    """As the header has it, in quotes."""
    queue = [job.queue_position, job.expected_wait_seconds]
    return '"' + "-".join(str(part) for part in [job.version, *queue] if part is not None) + '"'


def matches(job: JobState, if_none_match: str) -> bool:
    """Whether an `If-None-Match` header names this state (RFC 9110, section 13.1.2: weak comparison)."""
    named = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return "*" in named or etag(job) in named
