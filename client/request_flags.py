"""A growth request from the command line: a file that holds the body of `POST /grow`, and flags laid over it."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from client.completion import Completion, method_names
from jobs.schema import Dtype, Priority

PANEL = "Request"


def flag(text: str, *names: str, metavar: str | None = None, completed_by: Completion | None = None) -> Any:
    """An option that sets a field of the request."""
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=PANEL, autocompletion=completed_by)


@dataclass(frozen=True)
class RequestFlags:
    """Each flag sets one field of the request; a plain path stands for its file:// URI."""

    source: Annotated[str | None, flag("Folder of the checkpoint to grow.", metavar="URI")] = None
    source_config: Annotated[
        Path | None, flag("config.json of a source that the job trains first, on the data.", metavar="FILE")
    ] = None
    pretrain_steps: Annotated[int | None, flag("Steps of that training.", metavar="N")] = None
    pretrain_option: Annotated[
        list[str] | None,
        flag("A further option of that training, such as learning_rate=3e-4; repeatable.", metavar="KEY=VALUE"),
    ] = None
    source_tokenizer: Annotated[str | None, flag("Folder with that source's tokenizer.", metavar="URI")] = None
    source_optimizer: Annotated[
        str | None, flag("AdamW's state of that checkpoint, to be grown too.", metavar="URI")
    ] = None
    training: Annotated[
        list[str] | None,
        flag("What the source was trained with, such as learning_rate=3e-4; repeatable.", metavar="KEY=VALUE"),
    ] = None
    output: Annotated[str | None, flag("Empty folder for the grown checkpoint.", metavar="URI")] = None
    target: Annotated[
        list[str] | None, flag("A size of the target, such as hidden_size=768; repeatable.", metavar="KEY=SIZE")
    ] = None
    method: Annotated[
        str | None, flag("Name of the method; `grow methods` lists them.", metavar="NAME", completed_by=method_names)
    ] = None
    option: Annotated[
        list[str] | None, flag("An option of the method, such as steps=50; repeatable.", metavar="KEY=VALUE")
    ] = None
    expert_noise: Annotated[float | None, flag("Noise that parts the experts of a dense model's mixture.")] = None
    data: Annotated[str | None, flag("Text to fit and verify on.", metavar="URI")] = None
    data_option: Annotated[
        list[str] | None,
        flag("A field of the data, such as format=jsonl or sequence_length=64; repeatable.", metavar="KEY=VALUE"),
    ] = None
    dtype: Annotated[Dtype | None, flag("What is written; the source's own if left out.")] = None
    seed: Annotated[int | None, flag("Seed of every random choice.")] = None
    priority: Annotated[Priority | None, flag("Which jobs start before which.")] = None
    webhook: Annotated[str | None, flag("Where to tell that the job has ended, signed.", metavar="URL")] = None
    label: Annotated[
        list[str] | None, flag("A free word to find the job by, as key=value; repeatable.", metavar="KEY=VALUE")
    ] = None
    max_shard_bytes: Annotated[int | None, flag("Largest size of a safetensors shard.")] = None
    verify: Annotated[bool | None, flag("Compare source and target before the commit.", "--verify/--no-verify")] = None

    def laid_over(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request: the body with each field replaced, and each key of a mapping set, that a flag names."""
        fields = {
            "source": self._source(body.get("source")),
            "source_optimizer": as_uri(self.source_optimizer),
            "training": merged(body.get("training"), pairs(self.training, "--training")),
            "output": as_uri(self.output),
            "dtype": self.dtype,
            "seed": self.seed,
            "priority": self.priority,
            "webhook": self.webhook,
            "expert_noise": self.expert_noise,
            "max_shard_bytes": self.max_shard_bytes,
            "verify": self.verify,
            "target": merged(body.get("target"), pairs(self.target, "--target")),
            "labels": merged(body.get("labels"), pairs(self.label, "--label", plain=True)),
            "method": self._method(body.get("method")),
            "data": self._data(body.get("data")),
        }
        return body | {name: value for name, value in fields.items() if value is not None}

    def _source(self, given: Any) -> Any:
        options = pairs(self.pretrain_option, "--pretrain-option") or {}
        if self.pretrain_steps is not None:
            options["steps"] = self.pretrain_steps
        if self.source_config is None and not options and self.source_tokenizer is None:
            return as_uri(self.source)
        if self.source is not None:
            raise typer.BadParameter("--source names a checkpoint; leave it out where the job trains its source.")
        base = dict(given) if isinstance(given, dict) else {}
        if self.source_config is not None:
            base["config"] = read_body(self.source_config, "a config.json")
        if "config" not in base:
            raise typer.BadParameter("Only a source that is a config is trained; name its file with --source-config.")
        base["pretrain"] = merged(base.get("pretrain"), options)
        return base | ({"tokenizer": as_uri(self.source_tokenizer)} if self.source_tokenizer else {})

    def _method(self, given: Any) -> Any:
        options = pairs(self.option, "--option")
        if self.method is None and options is None:
            return None
        base = {"name": self.method} if self.method else {"name": given} if isinstance(given, str) else given or {}
        if "name" not in base:
            raise typer.BadParameter("--option needs a method to belong to: name it with --method.")
        return base | (options or {})

    def _data(self, given: Any) -> Any:
        base = given if self.data is None else {"uri": as_uri(self.data)}
        options = pairs(self.data_option, "--data-option")
        if options is not None and base is None:
            raise typer.BadParameter("--data-option needs data to describe: name it with --data.")
        return merged(base, options)


def read_body(path: Path | None, what: str = "the body of `POST /grow`") -> dict[str, Any]:
    """The JSON object in a file, or in the standard input for `-`; empty without either."""
    if path is None:
        return {}
    try:
        body = json.loads(sys.stdin.read() if str(path) == "-" else path.read_text())
    except OSError as error:
        raise typer.BadParameter(f"{path} can't be read: {error.strerror}.") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path} is not JSON: {error}.") from None
    if not isinstance(body, dict):
        raise typer.BadParameter(f"{path} holds no JSON object; it should be {what}.")
    return body


def as_uri(text: str | None) -> str | None:
    """A plain path as its file:// URI."""
    # Not `as_uri`: the service takes the characters of a URI literally.
    return text if text is None or "://" in text else f"file://{Path(text).resolve()}"


def pairs(texts: list[str] | None, flag: str, *, plain: bool = False) -> dict[str, Any] | None:
    """What a repeatable KEY=VALUE flag named; values are JSON where they can be, unless `plain`."""
    if not texts:
        return None
    parts = [text.partition("=") for text in texts]
    for key, equals, _ in parts:
        if not (key and equals):
            raise typer.BadParameter(f"{flag} takes key=value, and got {key!r}.")
    return {key: value if plain else _value(value) for key, _, value in parts}


def _value(text: str) -> Any:
    """JSON where it is JSON (50, true, {"name": "pad"}), else the text itself (pad)."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def merged(base: dict[str, Any] | None, more: dict[str, Any] | None) -> dict[str, Any] | None:
    """`base` with the keys of `more` laid over it."""
    return base if more is None else (base or {}) | more
