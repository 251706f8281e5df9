"""From a request for a search to its plan and its job: every check that needs no weights, cheapest first."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import prod

import structlog

from growth.config import MAX_CONFIG_BYTES, ModelConfig
from growth.errors import GrowthError, ImpossibleProxy
from growth.mutransfer import transfer
from growth.plan import model_size
from growth.proxy import check_proxy, derive_proxy
from growth.source import SourceCheckpoint
from growth.untrained import check_corpus, untrained_source
from jobs.errors import JobNotFound, NotRetryable
from jobs.origin import NOWHERE, Origin
from jobs.schema import ModelSize, Status
from jobs.search_space import grid_size
from jobs.trials import flops
from jobs.tuning import GivenProxy, TuneJob, TunePlan, TuneRequest
from service import webhook_address
from service.auth import Caller
from service.errors import InvalidSearchSpace, SourceNotFound
from service.parts import Parts
from service.places import Given, Place, blaming, check_allowed, check_data_exists, places_of
from storage import NotFound, Storage

log = structlog.get_logger(__name__)


def submit_search(
    parts: Parts, caller: Caller, request: TuneRequest, idempotency_key: str | None, origin: Origin = NOWHERE
) -> tuple[TuneJob, bool]:
    """The search that this request makes; or, and True, the one that the same key made before.

    Raises whatever `service.problems` lists; when it returns, the search is on record and will be begun.
    """
    places = _places(request, parts.storage)
    check_allowed(places.values(), parts.storage, caller)
    webhook_address.check(request.webhook, parts.settings.webhook_hosts)
    if idempotency_key is not None:
        known = parts.store.made_by(request, caller.name, idempotency_key)
        if known is not None:
            assert isinstance(known, TuneJob), "the key's fingerprint is that of a search"
            return known, True
    plan = _plan(places, parts.storage, request)
    job, replayed = parts.store.create(request, plan, caller.name, idempotency_key, origin, quota=caller.quota)
    if not replayed:
        log.info("search submitted", job_id=job.id, owner=caller.name, trials=plan.trials)
        parts.publisher.publish(job.id)
    return job, replayed


def retry_search(parts: Parts, caller: Caller, ended: TuneJob, origin: Origin = NOWHERE) -> tuple[TuneJob, bool]:
    """A new search for the request of one that failed or was cancelled; or, and True, the one that was made before.

    Raises what `submit_search` raises, and NotRetryable.
    """
    if ended.retried_by is not None:
        with suppress(JobNotFound):
            again = parts.store.get(ended.retried_by)
            assert isinstance(again, TuneJob)
            return again, True
    if ended.status not in (Status.FAILED, Status.CANCELLED):
        raise NotRetryable(ended.id, ended.status)
    places = _places(ended.request, parts.storage)
    check_allowed(places.values(), parts.storage, caller)
    webhook_address.check(ended.request.webhook, parts.settings.webhook_hosts)
    plan = _plan(places, parts.storage, ended.request)
    job, replayed = parts.store.create(
        ended.request, plan, ended.owner, origin=origin, retry_of=ended.id, quota=caller.quota
    )
    if not replayed:
        log.info("search submitted again", job_id=job.id, owner=job.owner, retry_of=ended.id)
        parts.publisher.publish(job.id)
    return job, replayed


def _places(request: TuneRequest, storage: Storage) -> dict[str, Place]:
    given: list[Given] = [("data", "data", "/data/uri", request.data.uri)]
    if isinstance(request.target, str):
        given.append(("target", "source", "/target", request.target))
    if request.tokenizer is not None:
        given.append(("tokenizer", "tokenizer", "/tokenizer", request.tokenizer))
    return places_of(given, storage)


def _plan(places: dict[str, Place], storage: Storage, request: TuneRequest) -> TunePlan:
    trials = _budget(request)
    with _about("/target"):
        target = untrained_source(_target(places, storage, request).raw)
    proxy = _proxy(request, target.config)
    with _about("/proxy"):
        # What the end of the search would fail for.
        transfer(proxy.config, target.config)
    _check_corpus(request, proxy.config)
    check_data_exists(places, storage)
    per_trial = flops(
        _size(proxy).flops_per_token,
        steps=request.pretrain.steps,
        batch_size=request.pretrain.batch_size,
        sequence_length=request.data.sequence_length,
    )
    return TunePlan(
        model_type=target.config.architecture.model_type,
        proxy=_size(proxy),
        target=_size(target),
        proxy_config=json.loads(json.dumps(proxy.config.raw)),
        target_config=json.loads(json.dumps(target.config.raw)),
        search_space=request.search_space,
        trials=trials,
        flops_per_trial=per_trial,
        flops=trials * per_trial,
        notes=_notes(request, trials),
    )


def _budget(request: TuneRequest) -> int:
    sizes = {name: grid_size(name, values) for name, values in request.search_space.items()}
    endless = [name for name, size in sizes.items() if size is None]
    if request.sampler == "grid" and endless:
        raise InvalidSearchSpace(
            f"A grid has no end over {endless[0]}, which takes any value of its range.",
            field=f"/search_space/{endless[0]}",
            hint="Give the range a step, or choices, or powers of two; or take another sampler.",
        )
    if endless:
        return request.trials
    points = prod(size for size in sizes.values() if size is not None)
    return min(request.trials, points) if request.sampler == "grid" else request.trials


def _notes(request: TuneRequest, trials: int) -> list[str]:
    if trials < request.trials:
        return [f"The grid has {trials} points, so there are {trials} trials and not {request.trials}."]
    return []


def _target(places: dict[str, Place], storage: Storage, request: TuneRequest) -> ModelConfig:
    if (place := places.get("target")) is None:
        assert isinstance(request.target, dict)
        return ModelConfig.from_dict(request.target)
    with blaming(place.field):
        try:
            found = storage.read(place.uri.join("config.json"), 0, MAX_CONFIG_BYTES + 1)
        except NotFound as error:
            raise SourceNotFound(
                f"There is no config.json at {place.uri}; give the folder of a model, or its config.", field=place.field
            ) from error
    return ModelConfig.parse(found)


@contextmanager
def _about(field: str) -> Iterator[None]:
    """Names the field of the request whose config can't be used."""
    try:
        yield
    except ImpossibleProxy:
        raise
    except GrowthError as error:
        error.field = field
        raise


def _proxy(request: TuneRequest, target: ModelConfig) -> SourceCheckpoint:
    asked = request.proxy
    if not isinstance(asked, GivenProxy):
        with _about("/proxy"):
            return untrained_source(derive_proxy(target, asked.width_ratio, asked.num_hidden_layers).raw)
    with _about("/proxy/config"):
        config = ModelConfig.from_dict(asked.config)
        check_proxy(config, target)
        return untrained_source(config.raw)


def _check_corpus(request: TuneRequest, proxy: ModelConfig) -> None:
    try:
        check_corpus(proxy, request.data.format, tokenizer=request.tokenizer is not None)
    except GrowthError as error:
        error.field = error.field.replace("/source/tokenizer", "/tokenizer")
        raise


def _size(checkpoint: SourceCheckpoint) -> ModelSize:
    tensors = checkpoint.tensors.values()
    size = model_size(checkpoint.config, [t.shape for t in tensors], sum(t.nbytes for t in tensors))
    return ModelSize.model_validate(size)
