"""`AsyncGrowClient` with the methods of `GrowClient`, so that one test covers both."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from client import AsyncGrowClient


class BlockingClient:
    """Runs every call in an event loop of its own until it is done."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._client = AsyncGrowClient(*arguments, **options)
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*arguments: Any, **options: Any) -> Any:
            found = method(*arguments, **options)
            return self._runner.run(found) if inspect.iscoroutine(found) else self._each(found)

        return call

    def _each(self, found: AsyncIterator[Any]) -> Iterator[Any]:
        try:
            while True:
                yield self._runner.run(_next(found))
        except StopAsyncIteration:
            return


async def _next(found: AsyncIterator[Any]) -> Any:
    return await anext(found)
