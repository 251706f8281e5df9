"""A search from the command line: a file that holds the body of `POST /tune`, and flags laid over it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from client.request_flags import as_uri, flag, merged, pairs, read_body
from jobs.schema import Priority
from jobs.tuning import PrunerName, Sampler


@dataclass(frozen=True)
class SearchFlags:
    """Each flag sets one field of the request; a plain path stands for its file:// URI."""

    target: Annotated[
        str | None, flag("Folder with the config.json of the model to be trained at last.", metavar="URI")
    ] = None
    target_config: Annotated[Path | None, flag("That config.json itself, sent along.", metavar="FILE")] = None
    width_ratio: Annotated[int | None, flag("How many times as wide as its proxy the target is.", metavar="N")] = None
    proxy_layers: Annotated[int | None, flag("Layers of the proxy; the target's if left out.", metavar="N")] = None
    proxy_config: Annotated[Path | None, flag("config.json of a proxy of your own.", metavar="FILE")] = None
    tokenizer: Annotated[str | None, flag("Folder with the tokenizer.", metavar="URI")] = None
    data: Annotated[str | None, flag("Text to train on.", metavar="URI")] = None
    data_option: Annotated[
        list[str] | None,
        flag("A field of the data, such as format=jsonl or sequence_length=64; repeatable.", metavar="KEY=VALUE"),
    ] = None
    steps: Annotated[int | None, flag("Steps of a trial.", metavar="N")] = None
    pretrain_option: Annotated[
        list[str] | None,
        flag("A further option of a trial's training, such as batch_size=32; repeatable.", metavar="KEY=VALUE"),
    ] = None
    search: Annotated[
        list[str] | None,
        flag(
            "Values to search over, such as learning_rate='{\"powers_of_two\": [-12, -6]}'; repeatable.",
            metavar="NAME=JSON",
        ),
    ] = None
    trials: Annotated[int | None, flag("How many points are tried.", metavar="N")] = None
    parallel: Annotated[int | None, flag("Trials side by side.", metavar="N")] = None
    sampler: Annotated[Sampler | None, flag("How the next point is chosen.")] = None
    pruner: Annotated[PrunerName | None, flag("When trials end early.")] = None
    webhook: Annotated[str | None, flag("Where to tell that the search has ended, signed.", metavar="URL")] = None
    priority: Annotated[Priority | None, flag("Which jobs start before which.")] = None
    seed: Annotated[int | None, flag("Seed of every random choice.")] = None
    label: Annotated[
        list[str] | None, flag("A free word to find the job by, as key=value; repeatable.", metavar="KEY=VALUE")
    ] = None

    def laid_over(self, body: dict[str, Any]) -> dict[str, Any]:
        """The request: the body with each field replaced, and each key of a mapping set, that a flag names."""
        given = body.get("data") if self.data is None else {"uri": as_uri(self.data)}
        train = pairs(self.pretrain_option, "--pretrain-option") or {}
        fields = {
            "target": self._target(),
            "proxy": self._proxy(body.get("proxy")),
            "tokenizer": as_uri(self.tokenizer),
            "data": merged(given, pairs(self.data_option, "--data-option")),
            "pretrain": merged(
                body.get("pretrain"), train | ({} if self.steps is None else {"steps": self.steps}) or None
            ),
            "search_space": merged(body.get("search_space"), pairs(self.search, "--search")),
            "trials": self.trials,
            "parallel": self.parallel,
            "sampler": self.sampler,
            "pruner": self.pruner,
            "webhook": self.webhook,
            "priority": self.priority,
            "seed": self.seed,
            "labels": merged(body.get("labels"), pairs(self.label, "--label", plain=True)),
        }
        return body | {name: value for name, value in fields.items() if value is not None}

    def _target(self) -> Any:
        if self.target is not None and self.target_config is not None:
            raise typer.BadParameter("--target and --target-config name the same thing; give one of them.")
        return as_uri(self.target) if self.target_config is None else read_body(self.target_config, "a config.json")

    def _proxy(self, given: Any) -> Any:
        derived = {"width_ratio": self.width_ratio, "num_hidden_layers": self.proxy_layers}
        named = {name: value for name, value in derived.items() if value is not None}
        if self.proxy_config is None:
            return merged(given, named or None)
        if named:
            raise typer.BadParameter("--proxy-config describes the whole proxy; leave --width-ratio and the like out.")
        return {"config": read_body(self.proxy_config, "a config.json")}
