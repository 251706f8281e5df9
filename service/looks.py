"""Looks at storage, which are quick or take long; of local files that is known only afterwards.

A look at local files makes some twenty system calls of microseconds, and at each of them the interpreter may go on with
another thread: sixteen threads mostly wait for one another. So one thread takes such looks in turn. A file system that
is far away, or hangs, must not hold up the others: what has waited for `PATIENCE_SECONDS`, in which the thread made
fewer than `QUICK` looks, gets a thread of its own, as looks at stores behind a network do at once.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

PATIENCE_SECONDS = 0.1
QUICK = 5
"""Otherwise they are many, and not slow: more threads would make them slower."""
MOST_IN_TURN = 32
MOST_AT_ONCE = 40


class Looks:
    """The threads, until they are stopped; whoever begins looks is in one event loop."""

    def __init__(self, looked: Callable[[], None]) -> None:
        """`looked` is called after each look or after some, from any thread, within `PATIENCE_SECONDS` of its end."""
        self._looked = looked
        self._new: list[_Look] = []
        self._made_in_turn = 0
        self._waiting: queue.SimpleQueue[list[_Look] | None] = queue.SimpleQueue()
        self._at_once = ThreadPoolExecutor(MOST_AT_ONCE, "look-at-once")
        threading.Thread(target=self._take_turns, name="look", daemon=True).start()

    def stop(self) -> None:
        """What has begun goes on; nothing else does."""
        self._waiting.put(None)
        self._at_once.shutdown(wait=False, cancel_futures=True)

    def begin(self, call: Callable[[], object], *, local: bool) -> None:
        """Makes the call, which sees to its own errors, in a thread; `local` where it looks at local files alone."""
        look = _Look(call)
        if not local:
            self._at_once.submit(self._alone, look)
            return
        if not self._new:
            # All that begin in one turn of the loop are sent together: each sending costs it its own turn.
            asyncio.get_running_loop().call_soon(self._send)
        self._new.append(look)

    def _send(self) -> None:
        looks, self._new = self._new, []
        self._waiting.put(looks)
        self._watch(looks)

    def _watch(self, looks: "list[_Look]") -> None:
        asyncio.get_running_loop().call_later(PATIENCE_SECONDS, self._relieve, looks, self._made_in_turn)

    def _relieve(self, looks: "list[_Look]", made_before: int) -> None:
        waiting = [look for look in looks if not look.begun]
        if waiting and self._made_in_turn - made_before >= QUICK:
            self._watch(waiting)
            return
        for look in waiting:
            self._at_once.submit(self._alone, look)
        # Of those that ended, while the thread is held up by the next.
        self._looked()

    def _alone(self, look: "_Look") -> None:
        look()
        self._looked()

    def _take_turns(self) -> None:
        ended = 0
        while (looks := self._waiting.get()) is not None:
            for look in looks:
                look()
                self._made_in_turn += 1
            ended += len(looks)
            if ended >= MOST_IN_TURN or self._waiting.empty():
                self._looked()
                ended = 0


class _Look:
    """A call that is made once, by whichever thread comes first."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call, self._context, self._once = call, copy_context(), threading.Lock()

    @property
    def begun(self) -> bool:
        return self._once.locked()

    def __call__(self) -> None:
        if self._once.acquire(blocking=False):
            self._context.run(self._call)
