"""`grow up`: the whole service on this machine, in the foreground, until a signal or the loss of a process ends it."""

from collections.abc import Callable

from client.local_service import LocalService, Options, Ready
from client.process import Process
from client.state import StateFolder
from client.stop_signal import StopSignal


def up(options: Options, on_ready: Callable[[Ready], None], look: Callable[[list[Process]], None]) -> None:
    """Serves until it is asked to stop; `look` is called every so often with the processes, to show their logs.

    Raises LocalServiceError where it can't start, and when one of its processes ends by itself.
    """
    stop = StopSignal()
    with stop.heard(), StateFolder.taken(options.state_dir) as state:
        service = LocalService(options, state, stop, look)
        try:
            ready = service.start()
            if not stop.asked:
                on_ready(ready)
            service.watch()
        finally:
            service.stop()
