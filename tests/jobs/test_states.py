"""Random histories of submit, retry, claim, lose, cancel and commit, step by step against a model in plain Python.

After each step the record says what the model says, and every index holds exactly the jobs that belong there.
"""

import uuid
from dataclasses import dataclass

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from jobs.errors import IdempotencyConflict, LeaseLost, NotClaimable, OutputReserved
from jobs.listing import Filter
from jobs.schema import Failure, GrowthRequest, Result, Stage, Status
from jobs.settings import SharedSettings
from jobs.store import JobStore
from tests.jobs.samples import FAILURE, PLAN, RESULT, request, wait_until
from tests.servers import RedisServer

MAX_ATTEMPTS = 2
QUICK = settings(
    max_examples=15,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
LIVE = (Status.QUEUED, Status.RUNNING)


@dataclass
class Model:
    output: str
    status: Status = Status.QUEUED
    attempt: int = 0
    uncounted: int = 0
    cancel_requested: bool = False
    lease_ended: bool = False
    lost: bool = False
    """An attempt was, and nobody has looked behind it since the job's end."""
    cleared: bool = False
    granted: int | None = None
    """The attempt whose commit counts."""

    def holds(self, token: int) -> bool:
        return self.status == Status.RUNNING and self.attempt == token

    @property
    def uncleared(self) -> bool:
        return self.status.terminal and self.attempt > 0 and not self.cleared

    @property
    def counted(self) -> int:
        return self.attempt - self.uncounted

    def give_up(self) -> None:
        self.status = Status.CANCELLED if self.cancel_requested else Status.QUEUED


class History(RuleBasedStateMachine):
    jobs: Bundle[str] = Bundle("jobs")
    tokens: Bundle[tuple[str, int]] = Bundle("tokens")

    client: redis.Redis
    url: str

    def __init__(self) -> None:
        super().__init__()
        namespace = f"states-{uuid.uuid4().hex}"
        self.store = self._store(namespace, lease_seconds=1000)
        # The same records, but a lease is judged as soon as Redis has been up for a moment.
        self.judge = self._store(namespace, lease_seconds=0.1)
        self.models: dict[str, Model] = {}
        self.sent: dict[str, tuple[GrowthRequest, str]] = {}

    def _store(self, namespace: str, lease_seconds: float) -> JobStore:
        shared = SharedSettings(
            redis_url=self.url, max_attempts=MAX_ATTEMPTS, lease_seconds=lease_seconds, lease_renew_seconds=0.01
        )
        return JobStore(shared, namespace)

    def teardown(self) -> None:
        self.store.close()
        self.judge.close()

    @rule(target=jobs, name=st.sampled_from(["a", "a/b", "ab", "c"]))
    def submits(self, name: str) -> str:
        output = f"s3://models/{name}/"
        live = [model.output for model in self.models.values() if model.status in LIVE]
        overlaps = any(other.startswith(output) or output.startswith(other) for other in live)
        wanted, key = request(output), f"key-{len(self.models)}"
        try:
            job, replayed = self.store.create(wanted, PLAN, "ada", key)
        except OutputReserved:
            assert overlaps
            return multiple()  # type: ignore[return-value]
        assert not overlaps
        assert not replayed
        self.models[job.id] = Model(output)
        self.sent[job.id] = wanted, key
        return job.id

    @rule(job_id=jobs)
    def is_sent_again(self, job_id: str) -> None:
        wanted, key = self.sent[job_id]
        job, replayed = self.store.create(wanted, PLAN, "ada", key)
        assert (job.id, replayed) == (job_id, True)
        with pytest.raises(IdempotencyConflict):
            self.store.create(wanted.model_copy(update={"seed": 1}), PLAN, "ada", key)

    @rule(target=tokens, job_id=jobs)
    def claims(self, job_id: str) -> tuple[str, int]:
        model = self.models[job_id]
        expected = self._expected_claim(model)
        try:
            claim = self.judge.claim(job_id, "worker")
            token, outcome = claim.attempt, "ok"
            assert claim.last == (model.counted == MAX_ATTEMPTS)
            assert claim.granted == model.granted
        except NotClaimable as refusal:
            token, outcome = 0, refusal.reason
        assert outcome == expected
        if token == 0:
            return multiple()  # type: ignore[return-value]
        assert token == model.attempt
        assert self.store.renew(job_id, token) == model.cancel_requested
        return job_id, token

    def _expected_claim(self, model: Model) -> str:
        if model.status.terminal:
            return "terminal"
        if model.status == Status.RUNNING and not model.lease_ended:
            return "leased"
        model.lost |= model.status == Status.RUNNING
        if model.cancel_requested:
            model.status = Status.CANCELLED
            return "cancelled"
        if model.counted >= MAX_ATTEMPTS:
            model.status = Status.FAILED
            return "poison"
        model.status, model.attempt, model.lease_ended = Status.RUNNING, model.attempt + 1, False
        return "ok"

    @rule(job_id=jobs)
    def loses_its_worker(self, job_id: str) -> None:
        # Time passes for this one job.
        if self.client.zadd(self.store.keys.leases, {job_id: 1}, xx=True, ch=True):
            self.models[job_id].lease_ended = True

    @rule(job_id=jobs)
    def is_reclaimed(self, job_id: str) -> None:
        model = self.models[job_id]
        lost = model.status == Status.RUNNING and model.lease_ended
        assert self.judge.reclaim(job_id) == lost
        if lost:
            model.lost = True
            model.give_up()

    @rule(job_id=jobs)
    def is_cancelled(self, job_id: str) -> None:
        model = self.models[job_id]
        if model.status == Status.QUEUED:
            model.status = Status.CANCELLED
        elif model.status == Status.RUNNING:
            model.cancel_requested = True
        assert self.store.request_cancel(job_id).status == model.status

    @rule(token=tokens)
    def renews(self, token: tuple[str, int]) -> None:
        model = self.models[token[0]]
        try:
            assert self.store.renew(*token) == model.cancel_requested
        except LeaseLost:
            assert not model.holds(token[1])
        else:
            assert model.holds(token[1])
            model.lease_ended = False

    @rule(token=tokens, stage=st.sampled_from(Stage), progress=st.floats(0, 1))
    def reports(self, token: tuple[str, int], stage: Stage, progress: float) -> None:
        holds = self.models[token[0]].holds(token[1])
        try:
            self.store.update(*token, stage=stage, progress=progress)
        except LeaseLost:
            assert not holds
        else:
            assert holds
            job = self.store.get(token[0])
            assert (job.stage, job.progress) == (stage, progress)

    @rule(token=tokens)
    def is_granted_the_commit(self, token: tuple[str, int]) -> None:
        model = self.models[token[0]]
        try:
            self.store.grant_commit(*token)
        except LeaseLost:
            assert not model.holds(token[1])
        else:
            assert model.holds(token[1])
            model.granted = token[1]

    @rule(token=consumes(tokens), counts=st.booleans())
    def gives_back(self, token: tuple[str, int], counts: bool) -> None:
        model = self.models[token[0]]
        holds = model.holds(token[1])
        try:
            self.store.release(*token, counts=counts)
        except LeaseLost:
            assert not holds
        else:
            assert holds
            model.uncounted += not counts
            model.give_up()

    @rule(token=consumes(tokens), outcome=st.sampled_from([RESULT, FAILURE, None]))
    def ends(self, token: tuple[str, int], outcome: Result | Failure | None) -> None:
        model = self.models[token[0]]
        holds = model.holds(token[1])
        try:
            job = self.store.finish(*token, outcome)
        except LeaseLost:
            assert not holds
        else:
            assert holds
            model.status = job.status

    @rule(job_id=jobs)
    def is_published(self, job_id: str) -> None:
        self.store.mark_published(job_id)

    @rule(job_id=jobs)
    def is_cleared(self, job_id: str) -> None:
        model = self.models[job_id]
        self.store.cleared(job_id)
        if model.status.terminal:
            # Where an attempt was lost, its process may wake and write: one look is not enough.
            model.cleared, model.lost = not model.lost, False

    @invariant()
    def records_are_as_the_model(self) -> None:
        jobs = self.store.list_jobs(limit=1000).jobs
        assert [job.id for job in jobs] == sorted(self.models, reverse=True)
        for job in jobs:
            model = self.models[job.id]
            assert (job.status, job.attempt) == (model.status, model.attempt)
            assert job.cancel_requested == model.cancel_requested
            assert (job.queue_position is not None) == (job.status == Status.QUEUED)
            assert (job.finished_at is not None) == job.status.terminal
            assert (job.error is not None) == (job.status == Status.FAILED)
            assert (job.result is not None) == (job.status == Status.SUCCEEDED)

    @invariant()
    def indexes_hold_what_belongs_there(self) -> None:
        keys = self.store.keys
        by_status = {
            status: {job_id for job_id, model in self.models.items() if model.status == status} for status in Status
        }
        for status, ids in by_status.items():
            assert {job.id for job in self.store.list_jobs(Filter(status=status), limit=1000).jobs} == ids
        outbox, published = self._members(keys.outbox), self._members(keys.published)
        assert not outbox & published
        assert self._members(keys.waiting) == by_status[Status.QUEUED]
        uncleared = {job_id for job_id, model in self.models.items() if model.uncleared}
        assert outbox | published == by_status[Status.QUEUED] | uncleared
        assert self._members(keys.leases) == by_status[Status.RUNNING]
        assert self._members(keys.ended) == {job_id for job_id, model in self.models.items() if model.status.terminal}
        assert self._members(keys.outputs) == {
            f"{model.output} {job_id}" for job_id, model in self.models.items() if model.status in LIVE
        }

    @invariant()
    def each_version_has_its_event(self) -> None:
        for job in self.store.list_jobs(limit=1000).jobs:
            assert len(self.store.events(job.id).events) == job.version

    def _members(self, key: str) -> set[str]:
        members: list[str] = self.client.zrange(key, 0, -1)  # type: ignore[assignment]
        return set(members)


def test_every_history_ends_as_the_model_says(valkey: RedisServer) -> None:
    with redis.Redis.from_url(valkey.url, decode_responses=True) as connected:

        class Here(History):
            client = connected
            url = valkey.url

        wait_until(lambda: connected.info("server")["uptime_in_seconds"] >= 1)
        run_state_machine_as_test(Here, settings=QUICK)
