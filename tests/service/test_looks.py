"""Looks at storage: in turn while they are quick, and none is held up by one that hangs."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import pytest

from service import looks as module
from service.looks import Looks

pytestmark = pytest.mark.anyio
SECONDS = 50.0
"""On a machine that has much else to do."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def _looks(looked: Callable[[], None] = lambda: None) -> Iterator[Looks]:
    looks = Looks(looked)
    try:
        yield looks
    finally:
        looks.stop()


async def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def test_quick_looks_share_one_thread_and_keep_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", SECONDS)
    made: list[tuple[int, int]] = []

    def look(number: int) -> None:
        made.append((number, threading.get_ident()))

    with _looks() as looks:
        for number in range(200):
            looks.begin(partial(look, number), local=True)
            if number % 7 == 0:
                await asyncio.sleep(0)
        await _until(lambda: len(made) == 200)
    assert [number for number, _ in made] == list(range(200))
    assert len({thread for _, thread in made}) == 1


async def test_many_that_are_quick_wait_for_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 1.0)
    threads: list[int] = []

    def look() -> None:
        time.sleep(0.001)
        threads.append(threading.get_ident())

    with _looks() as looks:
        for _ in range(2500):
            looks.begin(look, local=True)
        await _until(lambda: len(threads) == 2500)
    assert len(set(threads)) == 1


async def test_one_that_hangs_holds_up_none() -> None:
    goes_on = threading.Event()
    made: list[int] = []
    with _looks() as looks:
        looks.begin(goes_on.wait, local=True)
        for number in range(20):
            looks.begin(partial(made.append, number), local=True)
            await asyncio.sleep(0)
        await _until(lambda: len(made) == 20)
        goes_on.set()
    assert sorted(made) == list(range(20))


async def test_what_ended_before_one_that_hangs_is_told() -> None:
    goes_on, ended, told = threading.Event(), threading.Event(), threading.Event()

    def looked() -> None:
        if ended.is_set():
            told.set()

    with _looks(looked) as looks:
        looks.begin(ended.set, local=True)
        looks.begin(goes_on.wait, local=True)
        await _until(told.is_set)
        assert not goes_on.is_set()
        goes_on.set()


async def test_looks_behind_a_network_are_made_side_by_side_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 2 * SECONDS)
    together = threading.Barrier(8, timeout=SECONDS)
    passed: list[int] = []
    with _looks() as looks:
        for _ in range(8):
            looks.begin(lambda: passed.append(together.wait()), local=False)
        await _until(lambda: len(passed) == 8)
    assert sorted(passed) == list(range(8))


async def test_each_is_made_once_whoever_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    made: Counter[int] = Counter()
    lock = threading.Lock()

    def look(number: int) -> None:
        time.sleep(0.0001)
        with lock:
            made[number] += 1

    with _looks() as looks:
        for number in range(1000):
            looks.begin(partial(look, number), local=True)
            if number % 10 == 0:
                await asyncio.sleep(0.0005)
        await _until(lambda: len(made) == 1000)
        await asyncio.sleep(0.05)
    assert set(made.values()) == {1}


async def test_a_look_is_made_in_the_context_of_its_request() -> None:
    request_id: ContextVar[str] = ContextVar("request_id")
    seen: list[str] = []

    async def ask(looks: Looks, name: str, *, local: bool) -> None:
        request_id.set(name)
        looks.begin(lambda: seen.append(request_id.get()), local=local)

    with _looks() as looks:
        for name, local in (("one", True), ("two", False)):
            await asyncio.create_task(ask(looks, name, local=local))
        await _until(lambda: len(seen) == 2)
    assert sorted(seen) == ["one", "two"]
