"""TCP ports of this machine: one that is free, and why another can't be had."""

import errno
import socket
from random import SystemRandom

from client.errors import LocalServiceError

# Below Linux' range for outgoing connections, so that none of those can take the port before the server does.
PORTS = range(20_000, 32_000)


def free_port(host: str) -> int:
    """A port that nothing listens on."""
    while True:
        port = SystemRandom().choice(PORTS)
        try:
            _bind(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
        else:
            return port


def check_listenable(host: str, port: int) -> None:
    """Raises LocalServiceError where nothing can listen at the address now."""
    try:
        _bind(host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise LocalServiceError(
                f"Port {port} of {host} is in use by another program, perhaps by another `grow up`.",
                "Stop that one, or choose a port with --port (0 takes any free one).",
            ) from None
        raise LocalServiceError(
            f"The API can't listen at {host}:{port}: {error.strerror}.", "Choose another --host or --port."
        ) from None


def _bind(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
