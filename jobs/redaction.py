"""Secrets are taken out of whatever is told: logs, events, failures, problem details, and so webhooks.

No code of ours puts one there. This is for the sentences of libraries, and for slips to come.
"""

import json
import logging
import re
from collections.abc import Iterable
from urllib.parse import quote

REDACTED = "[redacted]"
LEAST_CHARACTERS = 6
"""Anything shorter stands in half of all words."""

_SHAPES = re.compile(
    r"(?P<header>\bBearer\s+)[^\s\"'\\,]+"
    r"|(?P<url>\b[a-z][a-z0-9+.-]*://)[^\s/@\"'\\]+(?=@)"
    r"|(?P<query>\bX-Amz-(?:Signature|Credential|Security-Token)=)[^\s&\"'\\]+"
    r"|\bgrow_[A-Za-z0-9_-]{40,}|\bwhsec_[A-Za-z0-9+/=]+|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*",
    re.IGNORECASE,
)


class Redactor:
    """Takes known secrets out of a text, and what looks like one: keys, tokens, passwords in URLs, signatures."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {form for secret in secrets if len(secret) >= LEAST_CHARACTERS for form in _forms(secret)}
        # The longest first, because one may be the beginning of another.
        ordered = sorted(known, key=lambda secret: (-len(secret), secret))
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def __call__(self, text: str) -> str:
        known = text if self._known is None else self._known.sub(REDACTED, text)
        return _SHAPES.sub(lambda found: (found["header"] or found["url"] or found["query"] or "") + REDACTED, known)


def _forms(secret: str) -> set[str]:
    """As it is, in JSON, and in a URL."""
    return {secret, json.dumps(secret)[1:-1], quote(secret, safe="")}


class _Redacting(logging.Formatter):
    def __init__(self, inner: logging.Formatter, redact: Redactor) -> None:
        super().__init__()
        self._inner = inner
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        return self._redact(self._inner.format(record))


def redact_logs(redact: Redactor) -> None:
    """Lines of this process' logs lose their secrets from now on; called once, after the logs are set up."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Redacting(handler.formatter or logging.Formatter(), redact))
