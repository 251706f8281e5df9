"""How many threads torch computes with."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes in the calling thread alone.

    What takes less than a millisecond gains nothing from more: they would spin between such pieces of work, on cores
    that whoever hashes, sends or writes the result has a use for.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
