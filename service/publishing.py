"""The message of a job that was just put on record."""

import structlog

from jobs.errors import StoreUnavailable
from jobs.queue import enqueue
from service.parts import Parts

log = structlog.get_logger(__name__)


def publish(parts: Parts, job_id: str) -> None:
    """Sends it; a broker that is away gets it later."""
    try:
        enqueue(parts.celery, parts.store, job_id)
    except StoreUnavailable as error:
        # The record is in the outbox, from which the reconciler publishes it.
        log.warning("job not published yet", job_id=job_id, reason=str(error))
