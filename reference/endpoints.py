"""openapi.yaml as a page: every call with its parameters, body and answers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

INTRODUCTION = """# API reference

Every call of the service, and every [webhook](webhooks.md) that it sends, made of [`openapi.yaml`](openapi.yaml), which
has the schemas too. A running service shows the same at `/openapi.json`. Errors are problem details with a stable
`code`: [errors](errors.md).
"""


def api_page(openapi: Path) -> str:
    """The page as Markdown."""
    document: dict[str, Any] = yaml.safe_load(openapi.read_text(encoding="utf-8"))
    calls = [
        (operation["tags"][0], f"{method.upper()} {path}", operation)
        for path, operations in {**document["paths"], **document["webhooks"]}.items()
        for method, operation in operations.items()
    ]
    parts = [INTRODUCTION]
    for tag in dict.fromkeys(tag for tag, _, _ in calls):
        parts.append(f"## {tag.capitalize()}\n")
        parts += ["\n".join(_call(name, operation)) for found, name, operation in calls if found == tag]
    return "\n".join(parts)


def _call(name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### `{name}`\n"
    yield f"{operation.get('description') or operation['summary']}\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | |\n|---|---|---|"
        for one in parameters:
            yield f"| `{one['name']}` | {one['in']} | {_cell(one.get('description', ''))} |"
        yield ""
    if body := operation.get("requestBody"):
        yield f"Body: {_schemas(body)}\n"
    yield "| status | answer | |\n|---|---|---|"
    for status, answer in operation["responses"].items():
        yield f"| {status} | {_schemas(answer)} | {_cell(answer.get('description', ''))} |"
    yield ""


def _schemas(holder: dict[str, Any]) -> str:
    """Names of the schemas of a body or an answer, by what they come as."""
    found = [f"{_name(media.get('schema', {}))} (`{kind}`)" for kind, media in holder.get("content", {}).items()]
    return ", ".join(found)


def _name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    several = schema.get("anyOf") or schema.get("oneOf") or []
    return " or ".join(_name(one) for one in several) or str(schema.get("type", "any"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
