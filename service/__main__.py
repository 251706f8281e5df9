"""`python -m service` runs the service by its settings, until SIGTERM."""

from contextlib import closing

import uvicorn

from jobs.redaction import Redactor, redact_logs
from service.app import create_app
from service.settings import ServiceSettings
from telemetry.logs import configure_logs
from telemetry.traces import Traces, open_traces

STOP_SECONDS = 2
"""How long open event streams and long polls may go on after SIGTERM; clients come back to them elsewhere."""


def main() -> None:
    """Serves in this process."""
    settings = ServiceSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    with closing(open_traces("service")) as traces:
        _serve(settings, traces)


def _serve(settings: ServiceSettings, traces: Traces) -> None:
    uvicorn.run(
        create_app(settings, traces),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
