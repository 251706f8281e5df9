"""API keys for tests: settings that know them, and headers that send them."""

from hashlib import sha256
from typing import Any


def api_key(name: str, **prefixes: list[str]) -> dict[str, Any]:
    """A key as the settings take it; the key itself is `secret_of(name)`."""
    return {"name": name, "key_sha256": sha256(secret_of(name).encode()).hexdigest(), "prefixes": prefixes}


def secret_of(name: str) -> str:
    return f"{name}-0123456789abcdef0123456789abcdef"


def sent_by(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret_of(name)}"}
