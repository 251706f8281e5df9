"""A job's event stream over as many connections as it takes: what to ask for next, and when it is over."""

from pydantic import ValidationError

from client import calls
from client.errors import UnexpectedAnswer
from client.exchange import PATIENT_RETRIES, Pause, Reply, Steps, exchange, read, worth_retrying
from jobs.schema import TERMINAL, Event, EventKind, EventPage

RECONNECT_SECONDS = 0.5
SILENT_SECONDS = 60.0
"""The service sends a comment at least every 15 s, so a connection that is silent for longer is a dead one."""


class Feed:
    """Where a reader of one job's events stands."""

    def __init__(self, job_id: str, after: str | None, url: str) -> None:
        self.path = calls.events_path(job_id)
        self.over = False
        self._job_id = job_id
        self._after = after
        self._url = url
        self._had_ended = False
        """Whether the job had ended before the present connection, which then shows all there will ever be."""
        self._whole = True
        """Whether the present connection has shown all that the service had."""

    def headers(self) -> dict[str, str]:
        resume = {"Last-Event-ID": self._after} if self._after else {}
        return {"Accept": "text/event-stream"} | resume

    def take(self, data: str) -> Event:
        """The event, which the next connection will go on after. Raises UnexpectedAnswer."""
        try:
            event = Event.model_validate_json(data)
        except ValidationError:
            raise UnexpectedAnswer(self._url, f"its stream holds what is no event: {data[:80]!r}") from None
        self._after = event.id
        if event.kind is EventKind.STATUS and event.data.get("status") in TERMINAL:
            self.over = True
        return event

    def broke(self) -> None:
        """The connection failed, or ended too early."""
        self._whole = False

    def refused(self, reply: Reply) -> None:
        """Raises ProblemError, UnexpectedAnswer, unless another connection may help."""
        self.broke()
        if not worth_retrying(reply):
            read(reply, EventPage)

    def before_next(self) -> Steps[None]:
        """After a connection: is it over, and if not, does the service answer again? Raises what `exchange` raises."""
        self.over = self.over or (self._had_ended and self._whole)
        if self.over:
            return
        job = (yield from exchange(calls.job(self._job_id), PATIENT_RETRIES)).root
        if not (job.status.terminal and self._whole):
            yield Pause(RECONNECT_SECONDS)
        self._had_ended, self._whole = job.status.terminal, True
