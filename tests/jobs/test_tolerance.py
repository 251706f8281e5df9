"""What is answered is read by clients of other versions; what is asked for is not guessed at."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from jobs.schema import Event, GrowthRequest, Job, Plan
from jobs.store import JobStore
from jobs.tuning import JobPage
from tests.jobs.samples import PLAN, RESULT, request

UNTRAINED = {"config": {"model_type": "llama", "new": 1}, "pretrain": {"steps": 3}}


def _newer(value: Any) -> Any:
    """The same from a newer service, which has a further field in every object."""
    if isinstance(value, dict):
        return {name: _newer(part) for name, part in value.items()} | {"newer": {"than": "this"}}
    return [_newer(part) for part in value] if isinstance(value, list) else value


def _ended(store: JobStore, **change: Any) -> Job:
    wanted = GrowthRequest.model_validate(request().model_dump() | change)
    job, _ = store.create(wanted, PLAN, "ada")
    ended = store.finish(job.id, store.claim(job.id, "worker").attempt, RESULT)
    assert isinstance(ended, Job)
    return ended


@pytest.mark.parametrize(
    "change", [{}, {"data": {"uri": "s3://corpora/wiki"}}, {"source": UNTRAINED, "data": {"uri": "s3://corpora/wiki"}}]
)
def test_jobs_of_a_newer_service_are_read(store: JobStore, change: dict[str, Any]) -> None:
    job = _ended(store, **change)
    newer = json.loads(job.model_dump_json())
    options, sizes = newer["request"]["method"], newer["plan"]
    newer = _newer(newer)
    # What is free to hold anything holds what was sent.
    for place in (newer["request"]["target"], newer["request"]["labels"]):
        del place["newer"]
    newer["request"]["method"], newer["plan"]["method"] = options, sizes["method"]
    newer["plan"]["source"], newer["plan"]["target"] = sizes["source"], sizes["target"]
    if isinstance(newer["request"]["source"], dict):
        newer["request"]["source"]["config"] = UNTRAINED["config"]
    newer["result"]["stage_seconds"] = {}
    assert Job.model_validate_json(json.dumps(newer)) == job
    assert JobPage.model_validate({"jobs": [newer], "next_cursor": None, "newer": 1}).jobs == [job]


def test_events_and_plans_of_a_newer_service_are_read(store: JobStore) -> None:
    [event, *_] = store.events(_ended(store).id).events
    assert Event.model_validate({**event.model_dump(mode="json"), "newer": [1]}) == event
    assert Plan.model_validate({**PLAN.model_dump(mode="json"), "newer": [1]}) == PLAN


def test_what_is_wrong_stays_wrong(store: JobStore) -> None:
    answer = json.loads(_ended(store).model_dump_json())
    for change in ({"seed": "much"}, {"seed": "much", "newer": 1}, {"target": {"hidden_size": 0}}):
        with pytest.raises(ValidationError):
            Job.model_validate(answer | {"request": answer["request"] | change})


def test_a_request_has_no_unknown_fields() -> None:
    sent = request().model_dump()
    for more in ({"newer": 1}, {"data": {"uri": "s3://corpora/wiki", "newer": 1}}):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            GrowthRequest.model_validate(sent | more)
