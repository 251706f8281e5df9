"""The pretraining stage: a source that is only a config is trained on the job's data, and becomes a checkpoint.

What it takes to go on, and the trained source itself, lie where the job keeps its state. The source's index is written
last and only once: with it the folder is a checkpoint, which all later stages, and later attempts, read like any other.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

import structlog
from torch import OutOfMemoryError, Tensor, nn

from growth.carried import TOKENIZER_FILES
from growth.checkpoint import CheckpointReader, header_bytes, raw_bytes
from growth.errors import InvalidConfig, InvalidData
from growth.fit import Point
from growth.header import INDEX_FILE
from growth.source import SourceCheckpoint, read_single
from growth.stock_weights import stored_tensors
from growth.training import Training, TrainingOptions, random_seed
from growth.untrained import CONFIG_FIELD, TOKENIZER_FIELD, untrained_source
from jobs.schema import Data, FitPoint, PretrainingReport, Untrained
from storage import AlreadyExists, NotFound, ObjectStore, Unsupported, Uri
from storage.folder import Folder
from worker.corpus import Corpus
from worker.data import load_corpus
from worker.errors import TrainingDiverged
from worker.fit_state import version_of
from worker.messages import exit_if
from worker.modules import build_module
from worker.tokenizer import load_tokenizer, read_small

_CODES = {4: "F32", 8: "F64"}

log = structlog.get_logger()


@dataclass(frozen=True)
class Ready:
    """What a training works on; let go of it afterwards, for it takes memory."""

    corpus: Corpus
    module: nn.Module


class Pretraining:
    """The source of one job, before and after it is trained; everything lies below `folder`."""

    def __init__(
        self, source: Untrained, data: Data, store: ObjectStore, folder: Uri, *, seed: int, attempt: int, device: str
    ) -> None:
        self._source, self._data, self._seed = source, data, seed
        self._store, self._folder = store, folder
        self._attempt, self._device = attempt, device

    @cached_property
    def uri(self) -> Uri:
        """Where the trained source lies; another place for other data, or another tokenizer."""
        reads = [self._data.uri, *([self._source.tokenizer] if self._source.tokenizer else [])]
        return self._folder.join(f"source-{version_of(self._store, [Uri.parse(uri) for uri in reads])}")

    def report(self) -> PretrainingReport | None:
        """How the training went, once there is a trained source."""
        try:
            index = json.loads(self._store.read(self.uri.join(INDEX_FILE)))
        except NotFound:
            return None
        return PretrainingReport.model_validate(index["metadata"]["pretraining"])

    def prepare(self) -> Ready:
        """Puts the config and the tokenizer's files in place, and looks whether they and the data can be used.

        Raises GrowthError, StorageError.
        """
        self._store.put(self.uri.join("config.json"), _json(self._planned.config.raw))
        if self._source.tokenizer is not None:
            self._copy_tokenizer(Folder(self._store, Uri.parse(self._source.tokenizer)))
        if self._planned.config.architecture.objective == "masked_lm":
            self._check_mask_token()
        return Ready(self._corpus(), self._module())

    def train(
        self,
        ready: Ready,
        on_point: Callable[[FitPoint], None],
        checkpoint_seconds: float,
        leaving: Callable[[], bool],
    ) -> None:
        """Trains from the last state saved, if any, and leaves the source; `on_point` takes every step's losses.

        Once `leaving` says so, the state is saved and this process exits.

        Raises TrainingDiverged, StorageError, and what `on_point` raises to stop.
        """
        self._write(ready.module, self._trained(ready, on_point, checkpoint_seconds, leaving))

    def measured(
        self,
        ready: Ready,
        on_point: Callable[[FitPoint], None],
        checkpoint_seconds: float,
        leaving: Callable[[], bool],
    ) -> list[FitPoint]:
        """The held-out losses of the same training, which leaves nothing but where it stands. Raises as `train`."""
        return [_told(point) for point in self._trained(ready, on_point, checkpoint_seconds, leaving)]

    def _trained(
        self,
        ready: Ready,
        on_point: Callable[[FitPoint], None],
        checkpoint_seconds: float,
        leaving: Callable[[], bool],
    ) -> list[Point]:
        asked = self._source.pretrain
        options = TrainingOptions(**asked.model_dump(exclude={"batch_size"}))
        training = Training(
            options, self._planned.config, ready.module, ready.corpus, seed=self._seed, device=self._device
        )
        self._resume(training)

        def save(state: Mapping[str, Tensor]) -> None:
            self._put_tensors(self._folder.join(self._state_name), state)
            exit_if(leaving())

        training.run(lambda point: on_point(_checked(point)), save, checkpoint_seconds, leaving)
        return training.curve

    @cached_property
    def _planned(self) -> SourceCheckpoint:
        return untrained_source(self._source.config)

    def _corpus(self) -> Corpus:
        return load_corpus(
            self._store,
            self._data,
            Folder(self._store, self.uri),
            self._planned.config,
            batch_size=self._source.pretrain.batch_size,
            seed=self._seed,
        )

    def _module(self) -> nn.Module:
        module = self._built()
        stored = {name: tuple(tensor.shape) for name, tensor in stored_tensors(module, self._planned.config).items()}
        planned = {name: info.shape for name, info in self._planned.tensors.items()}
        if stored != planned:
            name = min(name for name in stored.keys() | planned.keys() if stored.get(name) != planned.get(name))
            raise InvalidConfig(
                f"transformers makes of the config a model whose {name} is not what the sizes say; correct what the "
                "config holds beside them.",
                field=CONFIG_FIELD,
            )
        return module

    def _built(self) -> nn.Module:
        try:
            return build_module(
                self._planned.config, device=self._device, seed=random_seed(self._seed, "initial weights")
            )
        except (MemoryError, OutOfMemoryError):
            raise
        except Exception as error:
            # transformers has a dozen ways to tell of a config that it can't use.
            log.warning("transformers can't build the source", reason=str(error))
            raise InvalidConfig(
                f"transformers can't build a {self._planned.config.model_class} from the config "
                f"({type(error).__name__}); correct what it holds beside the sizes.",
                field=CONFIG_FIELD,
            ) from error

    def _check_mask_token(self) -> None:
        mask = load_tokenizer(Folder(self._store, self.uri)).mask_token_id
        size = self._planned.config.sizes.vocab_size
        if mask is None:
            raise InvalidData(
                "The tokenizer has no mask token, which training a masked model takes; add it to its files.",
                field=TOKENIZER_FIELD,
            )
        if mask >= size:
            raise InvalidData(
                f"The tokenizer's mask token is {mask}, but the config's vocab_size is {size}; take the tokenizer's.",
                field=TOKENIZER_FIELD,
            )

    def _copy_tokenizer(self, given: Folder) -> None:
        names = set(given.names())
        present = [name for name in TOKENIZER_FILES if name in names]
        if not present:
            raise InvalidData(
                f"There are no tokenizer files at {given.uri}; give the folder that a tokenizer was saved to.",
                field=TOKENIZER_FIELD,
            )
        for name in present:
            self._store.put(self.uri.join(name), read_small(given, name, TOKENIZER_FIELD))

    @property
    def _state_name(self) -> str:
        # Beside the source, whose folder holds nothing but a checkpoint.
        return f"{self.uri.name.replace('source', 'pretraining')}.safetensors"

    def _resume(self, training: Training) -> None:
        folder = Folder(self._store, self._folder)
        if self._state_name in folder.names():
            tensors = read_single(folder, self._state_name)
            training.resume(CheckpointReader(folder, tensors).tensor)

    def _write(self, module: nn.Module, curve: list[Point]) -> None:
        stored = stored_tensors(module, self._planned.config)
        ordered = {name: stored[name] for name in self._planned.tensors}
        name = f"model-a{self._attempt}-00001-of-00001.safetensors"
        self._put_tensors(self.uri.join(name), ordered)
        size = sum(tensor.nbytes for tensor in ordered.values())
        told = {"total_size": size, "pretraining": _report(curve).model_dump(mode="json", exclude_none=True)}
        try:
            self._put_index(_json({"metadata": told, "weight_map": dict.fromkeys(ordered, name)}))
        except AlreadyExists:
            # An attempt that was taken for dead has trained the same source; that one is what others may be reading.
            self._store.delete(self.uri.join(name))

    def _put_index(self, data: bytes) -> None:
        uri = self.uri.join(INDEX_FILE)
        if self._store.exists(uri):
            raise AlreadyExists(f"{uri} exists already.")
        try:
            self._store.put(uri, data, if_absent=True)
        except Unsupported:
            self._store.put(uri, data)

    def _put_tensors(self, uri: Uri, tensors: Mapping[str, Tensor]) -> None:
        """One tensor at a time in the CPU's memory, whatever the device."""
        listed = [(name, _CODES[t.element_size()], tuple(t.shape), t.nbytes) for name, t in tensors.items()]
        header = header_bytes(listed)
        with self._store.open_write(uri, len(header) + sum(nbytes for *_, nbytes in listed)) as writer:
            writer.write(header)
            for tensor in tensors.values():
                writer.write(raw_bytes(tensor))
            writer.close()


def _checked(point: Point) -> FitPoint:
    if not all(isfinite(loss) for loss in (point.loss, point.held_out_loss) if loss is not None):
        raise TrainingDiverged(f"The source's training diverged: at step {point.step} its loss is not finite.")
    return _told(point)


def _told(point: Point) -> FitPoint:
    return FitPoint(step=point.step, loss=point.loss, held_out_loss=point.held_out_loss)


def _report(curve: list[Point]) -> PretrainingReport:
    first, last = curve[0].held_out_loss, curve[-1].held_out_loss
    assert first is not None
    assert last is not None
    return PretrainingReport(
        steps=curve[-1].step, initial_held_out_loss=first, final_held_out_loss=last, curve=[_told(p) for p in curve]
    )


def _json(value: Mapping[str, object]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()
