"""One job, top to bottom: plan, train the source where it is none yet, select, fit, expand, verify, commit.

What needs transformers is imported where it begins: that takes longer than all of a small growth in closed form.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING

from growth.expand import expand
from growth.operators.artefact import save_operator
from growth.operators.ligo import Ligo
from growth.operators.operator import GrowthOperator
from jobs.schema import FitPoint, FitReport, PretrainingReport, Result, Stage, Untrained, Verification
from storage import Storage, Uri, WrittenObject
from storage.folder import Folder
from telemetry.traces import OFF, Traces
from worker.commit import Fitted, Grown, commit, committed_before
from worker.errors import FitDiverged
from worker.fit_state import FIT_STATE, FitStates, kept, state_folder
from worker.messages import Work
from worker.optimizer import with_state, write_state
from worker.output import Output
from worker.picturing import picture_bytes
from worker.planning import Opened, open_inputs, plan_of, plan_untrained
from worker.report import Report, Stages
from worker.settings import WorkerSettings, device_of, shared
from worker.written import written_reader

if TYPE_CHECKING:
    from worker.pretraining import Pretraining, Ready


def run_job(work: Work, storage: Storage, settings: WorkerSettings, report: Report, traces: Traces = OFF) -> Result:
    """Does the work and returns what it left behind, or what an earlier attempt at the job has left.

    Raises what `worker.failures` lists.
    """
    return _Run(work, storage, settings, report).result(Stages(report, traces))


class _Run:
    def __init__(self, work: Work, storage: Storage, settings: WorkerSettings, report: Report) -> None:
        self._work = work
        self._storage = storage
        self._settings = settings
        self._report = report
        self._output = Output(storage, Uri.parse(work.request.output), work.job_id)
        self._device = device_of(settings)
        self._ready: Ready | None = None

    def result(self, stage: Stages) -> Result:
        request = self._work.request
        with stage(Stage.PLANNING):
            committed = committed_before(self._output, self._work.attempt, self._work.granted)
            if committed is not None:
                return committed
            self._output.clear(self._work.attempt)
            opened = self._open()
        if opened is None:
            with stage(Stage.PRETRAINING):
                opened = self._pretrain()
        if opened.selects:
            with stage(Stage.SELECTING):
                opened = self._select(opened)
        operator, fitted, verification = opened.operator, None, None
        if operator is None:
            with stage(Stage.FITTING):
                operator, fitted = self._fit(opened)
        with stage(Stage.EXPANDING):
            shards, state = self._expand(opened, operator)
        if request.verify:
            with stage(Stage.VERIFYING):
                verification = self._verify(opened, shards)
        with stage(Stage.COMMITTING):
            picture = self._picture(operator)
            grown = Grown(shards, state, self._pretrained(), fitted, picture, verification, stage.seconds)
            result = self._commit(opened, grown)
        return result.model_copy(update={"stage_seconds": stage.seconds})

    @cached_property
    def _source(self) -> Folder:
        """The source's checkpoint, where there is one by now."""
        source = self._work.request.source
        uri = self._pretraining.uri if self._pretraining is not None else Uri.parse(str(source))
        return Folder(self._storage, uri)

    @cached_property
    def _pretraining(self) -> "Pretraining | None":
        request = self._work.request
        if not isinstance(request.source, Untrained) or request.data is None:
            return None
        from worker.pretraining import Pretraining

        return Pretraining(
            request.source,
            request.data,
            self._storage,
            state_folder(self._settings.state_uri, self._work.job_id),
            seed=request.seed,
            attempt=self._work.attempt,
            device=self._device,
        )

    def _pretrained(self) -> PretrainingReport | None:
        return None if self._pretraining is None else self._pretraining.report()

    def _open(self) -> Opened | None:
        """The inputs; None where the source has yet to be trained, for which all is ready then."""
        source = self._work.request.source
        if isinstance(source, Untrained):
            plan_untrained(self._work, source, self._storage)
            assert self._pretraining is not None
            if self._pretraining.report() is None:
                self._ready = self._pretraining.prepare()
                return None
        return open_inputs(self._work, self._storage, self._source)

    def _pretrain(self) -> Opened:
        self._train_source()
        return open_inputs(self._work, self._storage, self._source)

    def _train_source(self) -> None:
        source = self._work.request.source
        assert isinstance(source, Untrained)
        assert self._pretraining is not None
        steps = source.pretrain.steps
        # Let go of here, because the later stages need the memory.
        ready, self._ready = self._ready, None
        assert ready is not None

        def on_point(point: FitPoint) -> None:
            self._report.pretrained(point)
            self._report.progress(point.step / steps)

        with self._report.saving() as leaving:
            self._pretraining.train(ready, on_point, self._settings.fit_checkpoint_seconds, leaving)

    def _select(self, opened: Opened) -> Opened:
        from worker.selecting import Selecting

        assert opened.corpus is not None
        selecting = Selecting(
            opened.plan,
            lambda method: plan_of(self._work.request, opened.checkpoint, method),
            opened.reader,
            opened.corpus,
            device=self._device,
        )
        plan = selecting.picked(self._states("selection-{}.json"), self._report.measured, self._report.progress)
        plan, state = with_state(plan, self._work.request, self._storage)
        return replace(opened, plan=plan, operator=plan.operator, state=state)

    def _fit(self, opened: Opened) -> tuple[GrowthOperator, Fitted]:
        assert isinstance(opened.plan.method, Ligo)
        steps = opened.plan.method.steps

        def on_point(point: FitPoint) -> None:
            _check_finite(point)
            self._report.fitted(point)
            self._report.progress(point.step / steps)

        operator, told = self._fitted(opened, on_point)
        name = self._output.operator_name(self._work.attempt)
        return operator, Fitted(self._output.put(name, save_operator(operator, opened.plan)), told)

    def _fitted(self, opened: Opened, on_point: Callable[[FitPoint], None]) -> tuple[GrowthOperator, FitReport]:
        if shared(self._settings):
            from worker.fit_group import fit_together

            request = self._work.request.model_copy(update={"source": str(self._source.uri)})
            work = self._work.model_copy(update={"request": request})
            return fit_together(work, opened.plan, self._settings, on_point)
        from worker.fitting import fit_operator

        assert opened.corpus is not None
        with self._report.saving() as leaving:
            outcome, told = fit_operator(
                opened.plan,
                opened.reader,
                opened.corpus,
                self._states(FIT_STATE),
                on_point,
                checkpoint_seconds=self._settings.fit_checkpoint_seconds,
                device=self._device,
                leaving=leaving,
            )
        return outcome.operator, told

    def _states(self, name: str) -> FitStates:
        data = self._work.request.data
        assert data is not None
        reads = [self._source.uri, Uri.parse(data.uri)]
        return kept(self._storage, self._settings.state_uri, self._work.job_id, reads, name)

    def _expand(self, opened: Opened, operator: GrowthOperator) -> tuple[list[WrittenObject], list[WrittenObject]]:
        """The shards of the weights, and what there is of an optimizer's state."""
        plan, state, attempt, progress = opened.plan, opened.state, self._work.attempt, self._report.progress
        share = plan.target_bytes / (plan.target_bytes + (state.plan.nbytes if state else 0))
        open_shard = self._output.opener(attempt, len(plan.shards))
        shards = expand(plan, operator, opened.reader, open_shard, lambda f: progress(share * f), self._device)
        if state is None:
            return shards, []
        rest = 1.0 - share
        return shards, write_state(
            plan, state, self._output, attempt, lambda f: progress(1.0 - rest * (1.0 - f)), self._device
        )

    def _verify(self, opened: Opened, shards: list[WrittenObject]) -> Verification:
        from worker.verifying import verify_output

        written = written_reader(Folder(self._storage, self._output.uri), shards)
        return verify_output(opened.plan, opened.reader, written, opened.corpus, device=self._device)

    def _picture(self, operator: GrowthOperator) -> WrittenObject:
        return self._output.put(self._output.picture_name(self._work.attempt), picture_bytes(operator))

    def _commit(self, opened: Opened, grown: Grown) -> Result:
        work, report = self._work, self._report
        return commit(self._output, work, opened.plan, self._source, grown, report.ask_to_commit)


def _check_finite(point: FitPoint) -> None:
    losses = [loss for loss in (point.loss, point.held_out_loss) if loss is not None]
    if not all(map(isfinite, losses)):
        raise FitDiverged(f"The fit diverged: at step {point.step} its loss is not finite.")
