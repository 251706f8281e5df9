"""Log lines of a process, the libraries' among them, on standard error: each with the ids of what it is about.

A service works on many requests at once, so its ids are bound to the context (`structlog.contextvars`). A worker's
process works on one job at a time, so its ids are the process's own (`working_on`): lines of threads and libraries
that know of no context have them too.
"""

import logging
import sys
import threading
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

import structlog
from structlog.typing import Processor

Format = Literal["console", "json"]

_ids: dict[str, str | int] = {}
log = structlog.get_logger(__name__)


def configure_logs(log_format: Format) -> None:
    """Sends every log of this process to standard error; called once, by the process' main function.

    Warnings and what ends the process or a thread of it are log lines too.
    """
    shared: list[Processor] = [
        _add_ids,
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Plain tracebacks, because prettier ones show local variables, and with them secrets.
        structlog.processors.format_exc_info,
    ]
    renderer: Processor = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    if log_format == "json":
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


@contextmanager
def working_on(**ids: str | int | None) -> Iterator[None]:
    """Every line of this process has these ids from now to the end of the block; those that are None are left out."""
    given = {name: value for name, value in ids.items() if value is not None}
    _ids.update(given)
    try:
        yield
    finally:
        for name in given:
            del _ids[name]


def _add_ids(_logger: object, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in _ids.items():
        event.setdefault(name, value)
    return event


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    else:
        log.error("The process ends because of an error", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(told: threading.ExceptHookArgs) -> None:
    if told.exc_value is not None:
        thread = told.thread.name if told.thread else None
        log.error("A thread has ended", thread=thread, exc_info=(told.exc_type, told.exc_value, told.exc_traceback))
