"""`python -m service` runs the service by its settings, until SIGTERM."""

import gc
from contextlib import closing

import uvicorn

from jobs.redaction import Redactor, redact_logs
from jobs.startup import starting
from service.app import create_app
from service.settings import ServiceSettings
from telemetry.logs import configure_logs
from telemetry.traces import Traces, open_traces

STOP_SECONDS = 2
"""How long open event streams and long polls may go on after SIGTERM; clients come back to them elsewhere."""


def main() -> None:
    """Serves in this process."""
    with starting():
        settings = ServiceSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    with starting():
        traces = open_traces("service")
    with closing(traces):
        _serve(settings, traces)


def _serve(settings: ServiceSettings, traces: Traces) -> None:
    with starting():
        app = create_app(settings, traces)
    # What is here now stays: were it looked through for garbage again and again, requests would wait 0.1 s each time.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
