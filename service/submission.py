"""From a request to its plan and its job: every check that can be made before a worker has it, cheapest first.

Nothing is written but the record, and that last; `plan_request` alone is the dry run.
"""

from contextlib import suppress
from functools import partial

import structlog

from growth.errors import GrowthError, InvalidOperator, InvalidOptimizerState
from growth.header import TensorInfo
from growth.inputs import refuse_corpus
from growth.operators import parse_method
from growth.operators.method import Method
from growth.optimizer_layout import FILE_ENDING, plan_both, read_state
from growth.plan import GrowthPlan, make_plan
from growth.source import SourceCheckpoint, read_source
from growth.untrained import TOKENIZER_FIELD, check_corpus, check_no_state, trained_first, untrained_source
from jobs.creation import Creation
from jobs.errors import JobNotFound, NotRetryable
from jobs.origin import NOWHERE, Origin
from jobs.schema import GrowthRequest, Job, Plan, Status, Untrained
from service import webhook_address
from service.answers import Answer
from service.auth import Caller
from service.creations import Made
from service.errors import (
    DataRequired,
    OutputExists,
    OutputOverlaps,
    ServiceError,
    SourceNotFound,
)
from service.parts import Parts
from service.places import Given, Place, anything_at, blaming, check_allowed, check_data_exists, places_of
from storage import NotFound, ObjectInfo, Storage, scheme_of
from storage.folder import Folder, file_or_folder

log = structlog.get_logger(__name__)


async def submit(
    parts: Parts, caller: Caller, request: GrowthRequest, idempotency_key: str | None, origin: Origin = NOWHERE
) -> tuple[Job, bool]:
    """The job that this request makes; or, and True, the one that the same key made before.

    Raises whatever `service.problems` lists; when it returns, the job is on record and will be run.
    """
    answer: Answer[Made] = Answer()
    look = partial(_look_and_create, answer, parts, caller, request, idempotency_key, origin)
    parts.looks.begin(look, local=all(scheme_of(text) == "file" for *_, text in _given(request)))
    job, replayed = await answer.wait()
    assert isinstance(job, Job)
    if not replayed:
        parts.publisher.publish(job.id)
    return job, replayed


def _look_and_create(
    answer: Answer[Made],
    parts: Parts,
    caller: Caller,
    request: GrowthRequest,
    idempotency_key: str | None,
    origin: Origin,
) -> None:
    try:
        found = _look(parts, caller, request, idempotency_key)
        if isinstance(found, Job):
            answer.give((found, True))
            return
        creation = Creation(request, found, caller.name, idempotency_key, origin, quota=caller.quota)
        parts.creations.add(creation, answer)
    except Exception as error:  # noqa: BLE001 - raised by the coroutine that waits
        answer.give(error)


def _look(parts: Parts, caller: Caller, request: GrowthRequest, idempotency_key: str | None) -> Plan | Job:
    """The plan; or the job that the key made before, where its source is gone by now, or its output there."""
    places = _places(request, parts.storage)
    check_allowed(places.values(), parts.storage, caller)
    _check_webhook(request, parts)
    try:
        return _plan(places, parts, request)
    except (GrowthError, ServiceError):
        known = None if idempotency_key is None else parts.store.made_by(request, caller.name, idempotency_key)
        if known is None:
            raise
        assert isinstance(known, Job), "the key's fingerprint is that of a growth"
        return known


def retry(parts: Parts, caller: Caller, ended: Job, origin: Origin = NOWHERE) -> tuple[Job, bool]:
    """A new job for the request of one that ended without a result; or, and True, the one that was made before.

    Raises what `submit` raises, and NotRetryable.
    """
    if ended.retried_by is not None:
        with suppress(JobNotFound):
            again = parts.store.get(ended.retried_by)
            assert isinstance(again, Job)
            return again, True
    if ended.status not in (Status.FAILED, Status.CANCELLED):
        raise NotRetryable(ended.id, ended.status)
    places = _places(ended.request, parts.storage)
    check_allowed(places.values(), parts.storage, caller)
    _check_webhook(ended.request, parts)
    plan = _plan(places, parts, ended.request)
    job, replayed = parts.store.create(
        ended.request, plan, ended.owner, origin=origin, retry_of=ended.id, quota=caller.quota
    )
    if not replayed:
        log.info("job submitted again", job_id=job.id, owner=job.owner, retry_of=ended.id)
        parts.publisher.publish(job.id)
    return job, replayed


def plan_request(parts: Parts, caller: Caller, request: GrowthRequest) -> Plan:
    """What `submit` would put on record, after the same checks but for outputs that other jobs have reserved."""
    places = _places(request, parts.storage)
    check_allowed(places.values(), parts.storage, caller)
    _check_webhook(request, parts)
    return _plan(places, parts, request)


def _plan(places: dict[str, Place], parts: Parts, request: GrowthRequest) -> Plan:
    method, storage = parse_method({"name": request.method.name, **request.method.options}), parts.storage
    _check_data_given(method, request)
    source, files = _source_files(places, storage)
    state = places.get("optimizer")
    if state is None:
        plan = parts.plans.planned(request, files, lambda: _summary(_grown(source, places, request, method)))
        _check_inputs_exist(places, storage)
        _check_output_free(places, storage)
        return plan
    grown = _grown(source, places, request, method)
    _check_inputs_exist(places, storage)
    _check_output_free(places, storage)
    return _summary(plan_both(grown, _read_state(storage, state), request.max_shard_bytes)[0])


def _summary(grown: GrowthPlan) -> Plan:
    return Plan.model_validate(grown.summary())


def _grown(folder: Folder | None, places: dict[str, Place], request: GrowthRequest, method: Method) -> GrowthPlan:
    source = _source(folder, places, request)
    grown = make_plan(
        source.config,
        source.tensors,
        request.target,
        method,
        dtype=request.dtype,
        seed=request.seed,
        expert_noise=request.expert_noise,
        max_shard_bytes=request.max_shard_bytes,
    )
    if request.data is not None:
        refuse_corpus(source.config, request.data.format)
    if isinstance(request.source, Untrained) and request.data is not None:
        asked, length = request.source.pretrain, request.data.sequence_length
        grown = trained_first(grown, steps=asked.steps, batch_size=asked.batch_size, length=length)
    return grown


def _places(request: GrowthRequest, storage: Storage) -> dict[str, Place]:
    return places_of(_given(request), storage)


def _given(request: GrowthRequest) -> list[Given]:
    given: list[Given] = [("output", "output", "/output", request.output)]
    if not isinstance(request.source, Untrained):
        given.insert(0, ("source", "source", "/source", request.source))
    elif request.source.tokenizer is not None:
        given.insert(0, ("tokenizer", "tokenizer", TOKENIZER_FIELD, request.source.tokenizer))
    if request.source_optimizer is not None:
        given.append(("optimizer", "optimizer", "/source_optimizer", request.source_optimizer))
    if request.data is not None:
        given.append(("data", "data", "/data/uri", request.data.uri))
    operator = request.method.options.get("operator")
    if isinstance(operator, str):
        given.append(("operator", "source", "/method/operator", operator))
    return given


def _check_webhook(request: GrowthRequest, parts: Parts) -> None:
    webhook_address.check(request.webhook, parts.settings.webhook_hosts)


def _check_data_given(method: Method, request: GrowthRequest) -> None:
    if isinstance(request.source, Untrained) and request.data is None:
        raise DataRequired("An untrained source is trained on data; name some under data.uri.")
    if method.fits and request.data is None and method.described().get("operator") is None:
        raise DataRequired(
            f"Method {method.name!r} learns on data; name some under data.uri.",
            hint="Or name a fitted operator under method.operator.",
        )


def _source_files(places: dict[str, Place], storage: Storage) -> tuple[Folder | None, list[ObjectInfo]]:
    """The source's folder and its files; neither where the job trains its source."""
    if (place := places.get("source")) is None:
        return None, []
    folder = Folder(storage, place.uri)
    with blaming(place.field):
        files = folder.files()
        if not files and not anything_at(storage, place.uri):
            raise SourceNotFound(f"There is nothing at {place.uri}; give the folder of a checkpoint.")
    return folder, files


def _source(folder: Folder | None, places: dict[str, Place], request: GrowthRequest) -> SourceCheckpoint:
    """The source as it is, or as it will be once the job has trained it."""
    if not isinstance(request.source, Untrained):
        assert folder is not None
        return _read_source(folder)
    source = untrained_source(request.source.config)
    data_format = None if request.data is None else request.data.format
    check_corpus(source.config, data_format, tokenizer="tokenizer" in places)
    check_no_state(request.source_optimizer)
    return source


def _read_source(folder: Folder) -> SourceCheckpoint:
    with blaming("/source"):
        try:
            return read_source(folder)
        except NotFound as error:
            raise SourceNotFound(str(error)) from error


def _read_state(storage: Storage, place: Place) -> dict[str, TensorInfo]:
    with blaming(place.field):
        if not anything_at(storage, place.uri):
            raise InvalidOptimizerState(f"There is nothing at {place.uri}; give a file or folder with AdamW's state.")
        return read_state(*file_or_folder(storage, place.uri, FILE_ENDING))


def _check_inputs_exist(places: dict[str, Place], storage: Storage) -> None:
    check_data_exists(places, storage)
    if (operator := places.get("operator")) is not None:
        with blaming(operator.field):
            if not storage.exists(operator.uri):
                raise InvalidOperator(f"There is no operator file at {operator.uri}; give the URI of a fitted one.")


def _check_output_free(places: dict[str, Place], storage: Storage) -> None:
    output = places["output"]
    for name in ("source", "tokenizer", "optimizer", "data", "operator"):
        read = places.get(name)
        if read is not None and (output.uri.is_within(read.uri) or read.uri.is_within(output.uri)):
            raise OutputOverlaps(f"The output {output.uri} and {read.field} {read.uri} overlap; write elsewhere.")
    with blaming(output.field):
        if anything_at(storage, output.uri):
            raise OutputExists(f"There is something at {output.uri} already; choose an empty prefix, or empty it.")
