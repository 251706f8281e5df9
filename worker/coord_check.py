"""`grow coord-check`: activation scales over widths, under muP and under the standard parametrisation."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from growth.config import ModelConfig
from growth.coordinate_check import PARAMETRISATIONS, Activation, CoordinateCheck, spread
from growth.errors import GrowthError, InvalidConfig
from growth.target import resolve_target
from growth.transfer_plan import Optimizer

FLAT, SHOWN = 2.0, 12
MOVED, REFUSED = 1, 2
EXAMPLES = 1
"""Of the batch: what so little teaches soon outgrows the logits of the start, which muP has vanish with the width."""
DOUBLINGS = (1, 2, 4, 8)


def coord_check(
    config: Annotated[Path, typer.Argument(help="A config.json, or the folder of one; its width is the smallest.")],
    width: Annotated[
        list[int] | None, typer.Option(help="A further hidden_size; repeatable. Else 2, 4 and 8 times the config's.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Of the smallest model.")] = 0.01,
    steps: Annotated[int, typer.Option(help="Updates before the scales are compared.", min=1, max=100)] = 4,
    optimizer: Annotated[Optimizer, typer.Option(help="Class of torch.optim.")] = "adamw",
    seeds: Annotated[int, typer.Option(help="Trainings that each scale is the mean of.", min=1, max=100)] = 2,
    flat: Annotated[float, typer.Option(help="What largest over smallest scale may be under muP.", min=1)] = FLAT,
    plot: Annotated[Path | None, typer.Option(help="Draw the scales to this file, .svg or .png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all scales as JSON, and nothing else.")] = False,
) -> None:
    """Train a few steps at several widths, and compare how large each module's outputs are.

    Exit codes: 0 flat under muP, 1 not flat, 2 refused.
    """
    draw = _drawing() if plot is not None else None
    try:
        configs = _configs(_read(config), width or [])
        found = _checked(configs, learning_rate, steps, optimizer, range(seeds))
    except GrowthError as error:
        _refuse(" ".join(filter(None, (str(error), error.hint))))
    told = {kind: spread(found, kind, steps) for kind in PARAMETRISATIONS}
    if draw is not None:
        draw(found, plot)
    typer.echo(_as_json(found, told) if as_json else "\n".join(_table(told)))
    raise typer.Exit(MOVED if max(told["mup"].values()) > flat else 0)


def _read(path: Path) -> ModelConfig:
    file = path / "config.json" if path.is_dir() else path
    try:
        config = ModelConfig.parse(file.read_bytes())
    except OSError as error:
        _refuse(f"{file} can't be read: {error.strerror}.")
    family = config.architecture
    trained = sorted(family.headed_classes - family.unlabelled_classes)
    if config.model_class not in ("", *trained):
        raise InvalidConfig(
            f"A {config.model_class} has no head that tells a loss of its own; name {' or '.join(trained)} under "
            "architectures."
        )
    return config if config.model_class else replace(config, raw={**config.raw, "architectures": trained[:1]})


def _configs(base: ModelConfig, widths: Sequence[int]) -> list[ModelConfig]:
    own = base.sizes.hidden_size
    asked = sorted({own, *(widths or (own * times for times in DOUBLINGS))})
    return [base.replaced(resolve_target(base, {"hidden_size": width})) for width in asked]


def _checked(
    configs: Sequence[ModelConfig], rate: float, steps: int, optimizer: Optimizer, seeds: Sequence[int]
) -> list[Activation]:
    # Late, because it takes transformers, and transformers takes its time.
    from worker.modules import build_module
    from worker.random_inputs import labelled_batch

    check = CoordinateCheck(
        lambda config, seed: build_module(config, seed=seed),
        labelled_batch(configs[0], 0, EXAMPLES),
        rate,
        steps,
        optimizer,
        seeds,
    )
    return check.run(configs)


def _drawing() -> Any:
    """What draws; asked for before the work, so that nothing is computed in vain."""
    try:
        from worker.coordinate_plot import plot_scales
    except ModuleNotFoundError as error:
        _refuse(f"A plot needs {error.name}, which is not installed. Run `pip install 'model-growth[plot]'`.")
    return plot_scales


def _as_json(found: Sequence[Activation], told: dict[Any, dict[str, float]]) -> str:
    return json.dumps({"spread": told, "activations": [asdict(activation) for activation in found]})


def _table(told: dict[Any, dict[str, float]]) -> list[str]:
    """The modules that move most, under either parametrisation."""
    modules = sorted(told["mup"], key=lambda module: -max(told[kind].get(module, 0.0) for kind in PARAMETRISATIONS))
    longest = max(map(len, modules[:SHOWN]))
    rows = [
        f"{module:<{longest}} {told['standard'].get(module, float('nan')):>9.2f} {told['mup'][module]:>9.2f}"
        for module in modules[:SHOWN]
    ]
    left = [f"... and {len(modules) - SHOWN} modules that move less"] if len(modules) > SHOWN else []
    most = {kind: max(told[kind].values()) for kind in PARAMETRISATIONS}
    return [
        f"{'largest over smallest scale':<{longest}} {'standard':>9} {'muP':>9}",
        *rows,
        *left,
        f"At most {most['standard']:.2f} under the standard parametrisation, {most['mup']:.2f} under muP.",
    ]


def _refuse(sentence: str) -> NoReturn:
    typer.echo(f"Error: {sentence}", err=True)
    raise typer.Exit(REFUSED)
