"""The app's own description, OpenAPI 3.1: one for all sets of keys, and one without `security` where there are none."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from jobs.schema import Problem

_BOUNDS = frozenset({"maximum", "minimum", "exclusiveMaximum", "exclusiveMinimum"})


def describe(app: FastAPI, *, keyed: bool) -> dict[str, Any]:
    """The document; `keyed` tells whether the service asks for an API key."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        webhooks=app.webhooks.routes,
    )
    document["components"]["schemas"]["Problem"] = Problem.model_json_schema()
    _write_whole_bounds(document)
    return document if keyed else _open_to_all(document)


def _write_whole_bounds(part: Any) -> None:
    """FastAPI writes every bound as a float, which a reader of 9.223372036854776e+18 may take for a larger one."""
    if isinstance(part, list):
        for item in part:
            _write_whole_bounds(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name in _BOUNDS and isinstance(value, float) and value.is_integer():
                part[name] = int(value)
            _write_whole_bounds(value)


def _open_to_all(document: dict[str, Any]) -> dict[str, Any]:
    """A document that asks for a key, of a service that answers without one, would be wrong in every operation."""
    del document["components"]["securitySchemes"]
    for operations in document["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return document
