"""`python -m service` runs the service by its settings, until SIGTERM."""

import uvicorn

from jobs.redaction import Redactor, redact_logs
from service.app import create_app
from service.logs import configure_logs
from service.settings import ServiceSettings

STOP_SECONDS = 2
"""How long open event streams and long polls may go on after SIGTERM; clients come back to them elsewhere."""


def main() -> None:
    """Serves in this process."""
    settings = ServiceSettings()
    configure_logs(settings.log_format)
    redact_logs(Redactor(settings.secrets()))
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )


if __name__ == "__main__":
    main()
