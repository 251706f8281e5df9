"""The Lua scripts beside this file, each with its prelude, run by name and answered as Python values."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.retry import Retry

from jobs.errors import StoreUnavailable

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
RETRIES = 3

UNAVAILABLE = (
    redis.ConnectionError,
    redis.TimeoutError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.ReadOnlyError,
)


def unavailable(error: Exception) -> StoreUnavailable:
    """What is told of an error that says "not there" or "takes no writes"."""
    return StoreUnavailable(f"{type(error).__name__}: {error}")


@contextmanager
def reaching_redis() -> Iterator[None]:
    """Turns "not there" and "takes no writes" into StoreUnavailable."""
    try:
        yield
    except UNAVAILABLE as error:
        raise unavailable(error) from error


def connect(url: str) -> redis.Redis:
    """A client whose every timeout is set, and that sends a command again when the connection breaks."""
    return redis.Redis.from_url(
        url,
        decode_responses=True,
        socket_connect_timeout=CONNECT_SECONDS,
        socket_timeout=ANSWER_SECONDS,
        socket_keepalive=True,
        health_check_interval=30,
        # A Redis that hangs hangs again; only one that is away may be back at once.
        retry=Retry(
            ExponentialWithJitterBackoff(base=0.05, cap=1.0), RETRIES, supported_errors=(redis.ConnectionError,)
        ),
    )


class Scripts:
    """Runs a script by its file's name; Redis gets the text once and the hash from then on."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._registered: dict[str, Script] = {}

    def on_job(self, name: str, keys: Sequence[str], arguments: Sequence[str | int | float]) -> list[Any]:
        """A script that starts with `job.lua`: its outcome's name, and what comes with it."""
        return self._run(("clock", "job", name), keys, arguments)

    def on_jobs(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | float]]]
    ) -> list[list[Any] | Exception]:
        """The same for many jobs, each with its keys and arguments: sent at once, answered or refused one by one."""
        script = self._script(("clock", "job", name))
        with reaching_redis():
            replies = self._sent(script.sha, calls)
            if any(isinstance(reply, NoScriptError) for reply in replies):
                # Those that were refused for that have done nothing yet, and a repetition finds what the others made.
                self._client.script_load(script.script)
                replies = self._sent(script.sha, calls)
        return [unavailable(reply) if isinstance(reply, UNAVAILABLE) else reply for reply in replies]

    def _sent(self, sha: str, calls: Sequence[tuple[Sequence[str], Sequence[str | float]]]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for keys, arguments in calls:
                pipeline.evalsha(sha, len(keys), *keys, *arguments)
            return pipeline.execute(raise_on_error=False)

    def on_many(self, name: str, keys: Sequence[str], arguments: Sequence[str | int | float]) -> list[Any]:
        """A script about no single job."""
        return self._run(("clock", name), keys, arguments)

    def _run(self, parts: tuple[str, ...], keys: Sequence[str], arguments: Sequence[str | int | float]) -> list[Any]:
        script = self._script(parts)
        with reaching_redis():
            reply: list[Any] = script(keys, arguments)
        return reply

    def _script(self, parts: tuple[str, ...]) -> Script:
        name = parts[-1]
        if name not in self._registered:
            self._registered[name] = self._client.register_script("\n".join(map(_text, parts)))
        return self._registered[name]


@cache
def _text(name: str) -> str:
    return (files("jobs") / "lua" / f"{name}.lua").read_text()
