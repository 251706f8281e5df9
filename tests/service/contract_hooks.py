"""What schemathesis is told of this service besides its OpenAPI document: requests that reach the store, and one check.

Loaded by schemathesis itself, in a process of its own, so what a test knows comes in the environment.
"""

import hashlib
import itertools
import json
import os
from typing import Any

import schemathesis

SOURCE, OUTPUTS = "CONTRACT_SOURCE", "CONTRACT_OUTPUTS"
"""The URI of a checkpoint that can be grown, and of a folder for what is grown from it."""
LONG_WAITS = frozenset(map(str, range(2, 61)))
"""Seconds that a long poll may ask for, and that nobody has here."""
BOUND_BY_OTHERS = {"/source/pretrain/held_out_every", "/pretrain/held_out_every"}
"""Fields whose bounds another field moves, which a JSON schema can't say."""
BOUND_AS_A_WHOLE = {"/tune": ("", "/search_space")}
"""The same by path: a search's steps go with its measurements, and the ends of a range with each other."""

_numbers = itertools.count()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Lets half of the valid growth requests name a real source, so that there are jobs; shortens long polls."""
    if _valid(case) and (case.headers or {}).get("Last-Event-ID") == "0":
        # Letters and digits are all that its coverage phase writes into a header, and events' ids have a hyphen.
        case.headers["Last-Event-ID"] = "0-0"
    if _valid(case) and isinstance(case.body, dict) and "source" in case.body and _half(case.body):
        case.body = _acceptable(case.body)
    if str((case.query or {}).get("wait")) in LONG_WAITS:
        case.query["wait"] = 1


@schemathesis.check
def valid_data_is_never_called_invalid(ctx: Any, response: Any, case: Any) -> None:
    """What the document allows may be refused for what it names, but not as no request at all."""
    if response.status_code == 422 and _valid(case):
        refused = response.json()
        if refused["code"] == "invalid_request" and not _bound_by_others(case.operation.path, refused.get("field", "")):
            raise AssertionError(f"Valid by the document, and refused: {refused['detail']}")


def _bound_by_others(path: str, field: str) -> bool:
    whole, *parts = BOUND_AS_A_WHOLE.get(path, (None,))
    return field in BOUND_BY_OTHERS or field == whole or any(field.startswith(str(part)) for part in parts)


def _valid(case: Any) -> bool:
    return case.meta is not None and bool(case.meta.generation.mode.is_positive)


def _half(body: dict[str, Any]) -> bool:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest()[0] % 2 == 0


def _acceptable(body: dict[str, Any]) -> dict[str, Any]:
    """The same request, of a source that is there and of sizes that it can grow to."""
    kept = {name: body[name] for name in ("labels", "dtype", "seed", "max_shard_bytes", "verify") if name in body}
    return kept | {
        "source": os.environ[SOURCE],
        "output": f"{os.environ[OUTPUTS]}/{os.getpid()}-{next(_numbers)}",
        "target": {"hidden_size": 64},
        "method": "lemon",
    }
