"""What Prometheus is told: the job store's numbers, which every service tells alike, and this process' own requests.

`docs/observability.md` lists every metric; a metric is added there and in one of the two tables below.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPMethod

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.counters import BOUNDS, OUTCOMES, WRITES, Counters, Durations, Snapshot, Working
from jobs.errors import StoreUnavailable
from jobs.schema import TERMINAL, Stage

log = structlog.get_logger(__name__)
Values = Iterable[tuple[tuple[str, ...], float]]
Histograms = Iterable[tuple[tuple[str, ...], Durations]]


@dataclass(frozen=True)
class _Told:
    """A gauge or a counter: its labels, and the value for each choice of them."""

    name: str
    help: str
    values: Callable[[Snapshot], Values]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Measured:
    """A histogram of durations, likewise."""

    name: str
    help: str
    values: Callable[[Snapshot], Histograms]
    labels: tuple[str, ...] = ()


def _of(name: str, choices: Iterable[str]) -> Callable[[Snapshot], Values]:
    return lambda seen: [((choice,), seen.count(name, choice)) for choice in choices]


def _total(name: str) -> Callable[[Snapshot], Values]:
    return lambda seen: [((), seen.count(name))]


def _each(value: Callable[[Working], int | None]) -> Callable[[Snapshot], Values]:
    def values(seen: Snapshot) -> Iterator[tuple[tuple[str, ...], float]]:
        for working in seen.working:
            if (number := value(working)) is not None:
                yield (working.worker,), number

    return values


_METHODS = frozenset(HTTPMethod)

GAUGES = (
    _Told(
        "growth_jobs",
        "Jobs on record.",
        lambda seen: [((status,), size) for status, size in seen.by_status.items()],
        ("status",),
    ),
    _Told(
        "growth_jobs_queued",
        "Jobs that wait for a worker.",
        lambda seen: [((priority,), size) for priority, size in seen.queued.items()],
        ("priority",),
    ),
    _Told(
        "growth_jobs_unfinished",
        "Jobs queued or running, and trials of searches: how many workers there is work for.",
        lambda seen: [((), seen.unfinished)],
    ),
    _Told(
        "growth_worker_host_memory_peak_bytes",
        "Largest resident memory of the process of a running job.",
        _each(lambda working: working.host_memory_bytes),
        ("worker",),
    ),
    _Told(
        "growth_worker_gpu_memory_bytes",
        "Memory in use on the GPU of a running job, by whatever process.",
        _each(lambda working: working.gpu_memory_bytes),
        ("worker",),
    ),
    _Told(
        "growth_worker_gpu_memory_limit_bytes",
        "Memory of the GPU of a running job.",
        _each(lambda working: working.gpu_memory_limit_bytes),
        ("worker",),
    ),
)
COUNTERS = (
    _Told("growth_jobs_submitted_total", "Jobs created.", _total("submitted")),
    _Told("growth_jobs_ended_total", "Jobs ended.", _of("ended", sorted(TERMINAL)), ("status",)),
    _Told("growth_attempts_total", "Attempts begun.", _total("attempts")),
    _Told("growth_attempts_ended_total", "Attempts ended.", _of("attempts_ended", OUTCOMES), ("outcome",)),
    _Told(
        "growth_fencing_refusals_total",
        "Writes refused because their attempt no longer held the job.",
        _of("fencing_refusals", WRITES),
        ("write",),
    ),
    _Told("growth_storage_read_bytes_total", "Bytes that jobs read from stores.", _total("bytes_read")),
    _Told("growth_storage_written_bytes_total", "Bytes that jobs wrote to stores.", _total("bytes_written")),
    _Told("growth_fit_steps_total", "Steps of fits.", _total("fit_steps")),
    _Told("growth_training_steps_total", "Steps of the training of untrained sources.", _total("training_steps")),
)
HISTOGRAMS = (
    _Measured(
        "growth_queue_wait_seconds", "From queued to claimed by a worker.", lambda seen: [((), seen.queue_waits())]
    ),
    _Measured(
        "growth_stage_seconds",
        "Stages of jobs that came to their end.",
        lambda seen: [((stage,), seen.stages(stage)) for stage in Stage],
        ("stage",),
    ),
)


class JobMetrics(Collector):
    """The job store's numbers, read anew for each scrape; `growth_job_store_up` alone where it does not answer."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "growth_job_store_up",
            "Whether the job store answers: 1 or 0. Where it does not, no number of jobs is shown.",
        )
        try:
            seen = self._counters.read()
        except StoreUnavailable as error:
            log.warning("no job metrics", reason=str(error))
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from _families(seen)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before a scrape, and Redis is not asked for it."""
        return ()


class RequestMetrics:
    """This process' own requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count = Counter(
            "growth_http_requests_total", "HTTP requests.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "growth_http_request_seconds",
            "From a request's head to the end of its answer; event streams and long polls are as long as they are.",
            ("method", "route"),
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request that is over; `route` is the path's template, so that there are few."""
        known = method if method in _METHODS else "other"
        self._count.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)


def process_registry() -> CollectorRegistry:
    """A registry with what is known of any Python process."""
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


def _families(seen: Snapshot) -> Iterator[Metric]:
    told: Mapping[type[GaugeMetricFamily | CounterMetricFamily], tuple[_Told, ...]]
    told = {GaugeMetricFamily: GAUGES, CounterMetricFamily: COUNTERS}
    for kind, table in told.items():
        for row in table:
            family = kind(row.name, row.help, labels=row.labels)
            for labels, value in row.values(seen):
                family.add_metric(labels, value)
            yield family
    for measured in HISTOGRAMS:
        histogram = HistogramMetricFamily(measured.name, measured.help, labels=measured.labels)
        for labels, durations in measured.values(seen):
            histogram.add_metric(labels, _cumulative(durations), durations.sum_seconds)
        yield histogram


def _cumulative(durations: Durations) -> list[tuple[str, float]]:
    buckets, so_far = [], 0
    for bound, count in zip((*map(float, BOUNDS), float("inf")), durations.counts, strict=True):
        so_far += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), float(so_far)))
    return buckets
