"""How a call becomes an HTTP request and an HTTP answer a reply, for either kind of client."""

from importlib.metadata import version
from typing import Any, TypedDict

import httpx2

from client.calls import Call
from client.errors import Unreachable
from client.exchange import Reply
from client.feed import SILENT_SECONDS, Feed

DEFAULT_URL = "http://127.0.0.1:8765"
DEFAULT_TIMEOUT_SECONDS = 30.0
DEFAULT_RETRIES = 3
ADDRESS_HINT = f"Write it in full, such as {DEFAULT_URL}, with --url or GROW_URL."
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ClientOptions(TypedDict):
    """What `httpx2.Client` and `httpx2.AsyncClient` are made with."""

    base_url: httpx2.URL
    headers: dict[str, str]
    timeout: httpx2.Timeout
    trust_env: bool


class Connection:
    """One service, and how patiently it is asked."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float) -> None:
        self.url = base_url.rstrip("/")
        self._api_key = api_key
        self._timeout_seconds = timeout_seconds

    def client_options(self) -> ClientOptions:
        """Raises Unreachable for what is no http address."""
        try:
            url = httpx2.URL(self.url)
        except httpx2.InvalidURL as error:
            raise Unreachable(self.url, str(error), ADDRESS_HINT) from None
        if url.scheme not in ("http", "https") or not url.host:
            raise Unreachable(self.url, "an address starts with http:// or https://", ADDRESS_HINT)
        return ClientOptions(
            base_url=url,
            headers=self._headers(),
            timeout=httpx2.Timeout(self._timeout_seconds),
            # A proxy can't reach this machine's own loopback.
            trust_env=url.host not in LOOPBACK,
        )

    def request(self, http: httpx2.Client | httpx2.AsyncClient, call: Call[Any]) -> httpx2.Request:
        """The request of a call; one that the service holds back gets that much longer."""
        return http.build_request(
            call.method,
            call.path,
            params=dict(call.params),
            headers=dict(call.headers),
            json=call.body,
            timeout=httpx2.Timeout(self._timeout_seconds, read=self._timeout_seconds + call.held_seconds),
        )

    def feed_request(self, http: httpx2.Client | httpx2.AsyncClient, feed: Feed) -> httpx2.Request:
        """The request for the events that come next."""
        timeout = httpx2.Timeout(self._timeout_seconds, read=SILENT_SECONDS)
        return http.build_request("GET", feed.path, headers=feed.headers(), timeout=timeout)

    def reply(self, response: httpx2.Response) -> Reply:
        """The reply of a response that has been read."""
        return Reply(self.url, response.status_code, response.headers, response.content)

    def unreachable(self, error: httpx2.TransportError) -> Unreachable:
        if isinstance(error, httpx2.ReadTimeout):
            return Unreachable(self.url, f"no answer within {self._timeout_seconds:g} s")
        if "WRONG_VERSION_NUMBER" in str(error):
            plain = self.url.replace("https://", "http://", 1)
            return Unreachable(self.url, "what listens there does not speak TLS", f"Try {plain}.")
        return Unreachable(self.url, str(error) or type(error).__name__)

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"model-growth/{version('model-growth')}"}
        return headers | ({"Authorization": f"Bearer {self._api_key}"} if self._api_key else {})
