"""One trial of a search, top to bottom: the proxy is trained from random weights, and nothing of it is kept but losses.

Where it stands is saved as often as any training's is, so that the next attempt goes on from there.
"""

from collections.abc import Callable

from jobs.schema import FitPoint, Stage
from jobs.tuning import TrialResult
from storage import Storage
from telemetry.traces import OFF, Traces
from worker.fit_state import state_folder
from worker.messages import TrialWork
from worker.pretraining import Pretraining
from worker.report import Report, Stages
from worker.settings import WorkerSettings, device_of


def run_trial(
    work: TrialWork, storage: Storage, settings: WorkerSettings, report: Report, traces: Traces = OFF
) -> TrialResult:
    """Trains to the last step, or on from where an earlier attempt was. Raises what `worker.failures` lists."""
    request, stage = work.request, Stages(report, traces)
    training = Pretraining(
        request.source,
        request.data,
        storage,
        state_folder(settings.state_uri, work.job_id),
        seed=request.seed,
        attempt=work.attempt,
        device=device_of(settings),
    )
    with stage(Stage.PLANNING):
        ready = training.prepare()
    with stage(Stage.PRETRAINING):
        told = _told(report, request.source.pretrain.steps)
        with report.saving() as leaving:
            curve = training.measured(ready, told, settings.fit_checkpoint_seconds, leaving)
    last = curve[-1]
    assert last.held_out_loss is not None
    return TrialResult(steps=last.step, held_out_loss=last.held_out_loss)


def _told(report: Report, steps: int) -> Callable[[FitPoint], None]:
    def on_point(point: FitPoint) -> None:
        report.pretrained(point)
        report.progress(point.step / steps)

    return on_point
