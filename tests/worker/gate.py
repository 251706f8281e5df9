"""A gate in front of a store: holds one request until the test has done what it wants done meanwhile."""

from threading import Event

from tests.storage.proxy import Exchange, Proxy

PATIENCE_SECONDS = 120.0


class Gate:
    """Holds the next request of `method` with `marker` in its path."""

    def __init__(self, proxy: Proxy, method: str, marker: str) -> None:
        self._reached = Event()
        self._opened = Event()
        self._answered = Event()
        proxy.spoil(method, marker, self._hold)

    def wait(self) -> None:
        """Returns once the request is held."""
        assert self._reached.wait(PATIENCE_SECONDS)

    def open(self) -> None:
        """Lets the request through, whether or not its sender still lives."""
        self._opened.set()
        assert self._answered.wait(PATIENCE_SECONDS)

    def _hold(self, exchange: Exchange) -> None:
        self._reached.set()
        self._opened.wait(PATIENCE_SECONDS)
        try:
            exchange.pass_on()
        finally:
            self._answered.set()
