"""TCP ports of this machine: one that the local service can listen on, or why it can't."""

import errno
import socket
from random import SystemRandom

from client.errors import LocalServiceError

# Below Linux' range for outgoing connections, so that none of those can take the port before the server does.
PORTS = range(20_000, 32_000)


def usable_port(host: str, wanted: int = 0) -> int:
    """The port that is wanted, or with 0 any free one. Raises LocalServiceError where nothing can listen there now."""
    while True:
        port = wanted or SystemRandom().choice(PORTS)
        try:
            _bind(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise LocalServiceError(
                    f"Nothing can listen at {host}:{port}: {error.strerror}.", "Choose another --host or --port."
                ) from None
            if wanted:
                raise LocalServiceError(
                    f"Port {port} of {host} is in use by another program, perhaps by another `grow up`.",
                    "Stop that one, or choose a port with --port (0 takes any free one).",
                ) from None
        else:
            return port


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
