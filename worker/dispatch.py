"""What a message about a job makes a worker do: an attempt at a growth or a trial, or a step of a search.

| kind of job | what is done                                                                                   |
|-------------|------------------------------------------------------------------------------------------------|
| grow        | an attempt                                                                                     |
| trial       | an attempt, then a step of its search, which begins the next trial                             |
| tune        | a step: the first one, or one that makes up for a worker that was lost after a trial had ended |
"""

from collections.abc import Callable
from contextlib import closing

import structlog

from jobs.errors import JobNotFound, StoreUnavailable
from jobs.searches import Searches
from jobs.tuning import TrialJob, TuneJob
from worker.attempt import Site, attempt
from worker.searching import advance

log = structlog.get_logger()


def work_on(job_id: str, site: Site, publish: Callable[[str], None]) -> None:
    """Does what the job asks for now; `publish` sends a message about a job."""
    try:
        job = site.store.get(job_id)
    except JobNotFound:
        log.info("Not claimed", job=job_id, reason="not_found")
        return
    with closing(Searches(site.store, site.settings)) as searches:
        if not isinstance(job, TuneJob) and attempt(job_id, site, searches):
            _come_back_to(job_id, publish)
        if isinstance(job, TuneJob | TrialJob):
            _step(job.id if isinstance(job, TuneJob) else job.search, searches, publish)


def _come_back_to(job_id: str, publish: Callable[[str], None]) -> None:
    # At once, so that this worker itself does not take up a job that waits behind it.
    try:
        publish(job_id)
    except StoreUnavailable as error:
        log.warning("The job waits for a reconciler to publish it", job=job_id, reason=str(error))


def _step(search_id: str, searches: Searches, publish: Callable[[str], None]) -> None:
    try:
        advance(search_id, searches, publish)
    except StoreUnavailable as error:
        # What a step begins is in the outbox, and so is a search that was not stepped.
        log.warning("The search waits for its next step", job=search_id, reason=str(error))
