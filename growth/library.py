"""`grow`: one call from a source, a folder or a model in memory, to the grown one; no service, no transformers."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import torch
from torch import nn

from growth.apply import Grower
from growth.carried import CARRIED_FILES
from growth.checkpoint import CheckpointReader
from growth.errors import ImpossibleTarget, InvalidCheckpoint, InvalidData, InvalidMethod
from growth.expand import grown_tensor
from growth.fit import Batches, Fit
from growth.held_model import HeldModel, target_module
from growth.local_folder import LocalFolder, write_checkpoint, write_json
from growth.mutransfer import NORMS_AND_BIASES, transfer
from growth.operators import parse_method
from growth.operators.artefact import load_operator
from growth.operators.ligo import Ligo
from growth.operators.method import Nested
from growth.operators.operator import GrowthOperator
from growth.plan import Dtype, GrowthPlan, make_plan
from growth.source import read_source
from growth.stock_weights import fill_module, weightless
from growth.transfer_plan import TRAINING_FILE, TransferPlan

Model = TypeVar("Model", bound=nn.Module)
Place = str | os.PathLike[str]


@overload
def grow(
    source: Place | nn.Module,
    target: Mapping[str, int],
    method: Nested = ...,
    *,
    output: Place,
    dtype: Dtype | None = ...,
    seed: int = ...,
    batches: Batches | None = ...,
    max_shard_bytes: int = ...,
) -> Path: ...


@overload
def grow(
    source: Model,
    target: Mapping[str, int],
    method: Nested = ...,
    *,
    output: None = ...,
    dtype: Dtype | None = ...,
    seed: int = ...,
    batches: Batches | None = ...,
    max_shard_bytes: int = ...,
) -> Model: ...


def grow(
    source: Place | nn.Module,
    target: Mapping[str, int],
    method: Nested = "lemon",
    *,
    output: Place | None = None,
    dtype: Dtype | None = None,
    seed: int = 0,
    batches: Batches | None = None,
    max_shard_bytes: int = 5_000_000_000,
) -> Path | nn.Module:
    """Grow `source` to the sizes in `target`, and return the grown model, or the folder that it was written to.

    `source` is the folder of a Hugging Face checkpoint in safetensors, or a `PreTrainedModel`, which stays as it is.
    `target` takes the family's own size keys of config.json, and `method` a name or an object with `name` and options.

    Returns, with `output`, that folder as a `Path`: config, weights, `training.json` and, where the source is a folder,
    its tokenizer; stock `from_pretrained` loads it. It must not exist yet, or be empty, and appears whole or not at
    all. Without `output`, which takes a model as source, a new model of the same class on the same device, in training
    mode where the source is. `dtype` is that of the grown weights, the source's own where None.

    `batches` are what a method that learns (`ligo`) fits on, on the model's device; the source must be a model then.
    `auto` picks by rule. Raises GrowthError where the source, the target or the method can't be, FileExistsError where
    the output is taken.
    """
    if isinstance(source, nn.Module):
        held = HeldModel(source)
        checkpoint, folder = held.checkpoint(), None
        reader = CheckpointReader(held, checkpoint.tensors)
    else:
        folder = _opened(Path(source))
        checkpoint = read_source(folder)
        reader = CheckpointReader(folder, checkpoint.tensors)
    plan = make_plan(
        checkpoint.config,
        checkpoint.tensors,
        target,
        parse_method(method),
        dtype=dtype,
        seed=seed,
        max_shard_bytes=max_shard_bytes,
    )
    module = source if isinstance(source, nn.Module) else None
    if output is not None:
        place = _free(Path(output))
        return _written(plan, _operator(plan, module, reader, batches), reader, place, folder)
    if module is None:
        raise ValueError(
            "A folder is grown into a folder: name one as `output`, or load the source with transformers and give the "
            "model, to get a model."
        )
    return _grown(plan, _operator(plan, module, reader, batches), module, reader)


def _opened(path: Path) -> LocalFolder:
    if not path.is_dir():
        raise InvalidCheckpoint(
            f"{path} is no folder on this machine; give the folder that save_pretrained wrote, or the model itself."
        )
    return LocalFolder(path)


def _free(path: Path) -> Path:
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise FileExistsError(f"{path} exists already; name another output, or delete it.")
    return path


def _operator(
    plan: GrowthPlan, source: nn.Module | None, reader: CheckpointReader, batches: Batches | None
) -> GrowthOperator:
    method = plan.method
    if not isinstance(method, Ligo):
        return plan.operator
    if method.operator is not None:
        return load_operator(Path(method.operator.removeprefix("file://")).read_bytes(), plan)
    if source is None:
        raise InvalidMethod(
            f"Method {method.name!r} is fitted on a model, and the source is a folder.",
            hint="Load it with transformers and give the model, or take a closed-form method.",
        )
    if batches is None:
        raise InvalidData(f"Method {method.name!r} learns on data; give some as `batches`.")
    tensors = {name: reader.wide(info.name) for name, info in plan.source_tensors.items()}
    bare = weightless(target_module(source, plan.target, torch.float32))
    matched = source if method.matches(headed=plan.source.headed) else None
    device = str(next(source.parameters()).device)
    fit = Fit(plan, method, tensors, bare, batches, device=device, source_module=matched)
    return fit.run(lambda _: None, lambda _: None).operator


@torch.no_grad()
def _grown(plan: GrowthPlan, operator: GrowthOperator, source: nn.Module, reader: CheckpointReader) -> nn.Module:
    module = target_module(source, plan.target, getattr(torch, plan.dtype))
    device = str(next(source.parameters()).device)
    grower = Grower(operator, plan.source, plan.target)
    tensors = {tensor.name: tensor for tensor in plan.tensors}
    fill_module(module, plan.target, tensors, lambda name: grown_tensor(plan, grower, reader, tensors[name], device))
    return module


def _written(
    plan: GrowthPlan, operator: GrowthOperator, reader: CheckpointReader, place: Path, source: LocalFolder | None
) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output, so that moving it there is one step.
    unfinished = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        unfinished.chmod(0o755)
        write_checkpoint(plan, operator, reader, unfinished)
        write_json(unfinished / TRAINING_FILE, _training(plan))
        if source is not None:
            for name in set(source.names()).intersection(CARRIED_FILES):
                shutil.copyfile(source.path / name, unfinished / name)
        unfinished.replace(place)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    return place


def _training(plan: GrowthPlan) -> dict[str, Any]:
    try:
        # The grown weights hold what their function needs, with the config as it is.
        return transfer(plan.source, plan.target, config_factors=False, undecayed=NORMS_AND_BIASES).to_json()
    except ImpossibleTarget as reason:
        return TransferPlan.refused(reason)
