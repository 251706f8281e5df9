"""Answers that threads give to coroutines."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Answer(Generic[Value]):
    """What a coroutine waits for, and any thread may give; made in the coroutine's event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._given: asyncio.Future[Value] = self._loop.create_future()

    async def wait(self) -> Value:
        """The value that is given; raises the exception that is given instead."""
        return await self._given

    def give(self, outcome: Value | Exception) -> None:
        """From any thread."""
        give_all([(self, outcome)])

    def _set(self, outcome: Value | Exception) -> None:
        if self._given.done():
            return
        if isinstance(outcome, Exception):
            self._given.set_exception(outcome)
        else:
            self._given.set_result(outcome)


def give_all(outcomes: Sequence[tuple[Answer[Value], Value | Exception]]) -> None:
    """From any thread, to answers of one event loop, which is woken once: each time costs both threads their turns."""

    def set_all() -> None:
        for answer, outcome in outcomes:
            answer._set(outcome)

    # Where the loop is closed nobody waits any more.
    with suppress(RuntimeError):
        outcomes[0][0]._loop.call_soon_threadsafe(set_all)
