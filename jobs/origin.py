"""Where a job comes from: the request that submitted it, told by every log line and trace about the job."""

import re
from dataclasses import dataclass

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Origin:
    """What a record keeps of the HTTP request that made it; the texts are bounded where they come in."""

    request_id: str | None = None
    """The `X-Request-ID` of the request, or the one that it was given."""
    traceparent: str | None = None
    """W3C trace context of the request, where traces are on."""

    def fields(self) -> dict[str, str]:
        """As the record has it."""
        known = {"request_id": self.request_id, "traceparent": self.traceparent}
        return {name: value for name, value in known.items() if value is not None}


NOWHERE = Origin()
