"""Two or more ways to the same bytes, timed in turn, so that a noisy machine troubles all alike."""

import statistics
import time
from collections.abc import Callable, Mapping


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int, clear: Callable[[], None]) -> dict[str, float]:
    """The median seconds of each way, over rounds in which every way is run once, in turning order.

    `clear` removes what the way before has left; it is not timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        names = list(ways)
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            clear()
            started = time.perf_counter()
            ways[name]()
            seconds[name].append(time.perf_counter() - started)
    return {name: round(statistics.median(times), 3) for name, times in seconds.items()}
