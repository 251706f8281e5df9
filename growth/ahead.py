"""Produce while the consumer is busy: an iterator whose next items are made in a thread of their own."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")


def ahead(items: Iterable[Item], count: int) -> Generator[Item, None, None]:
    """The items in their order, up to `count` of them made before they are asked for; their errors are raised here.

    Made in torch's inference mode. Close the iterator where it is left early, so that its thread ends.
    """
    source = iter(items)

    def following() -> list[Item]:
        with torch.inference_mode():
            return list(islice(source, 1))

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        waiting: deque[Future[list[Item]]] = deque(thread.submit(following) for _ in range(count))
        try:
            while found := waiting.popleft().result():
                waiting.append(thread.submit(following))
                yield found[0]
        finally:
            thread.shutdown(cancel_futures=True)
