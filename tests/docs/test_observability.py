"""docs/observability.md lists every metric as it is exposed, and the dashboard asks for nothing else."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from jobs.counters import Counters
from jobs.settings import SharedSettings
from jobs.store import JobStore
from service.metrics import JobMetrics, RequestMetrics, process_registry
from tests.deploy.manifests import ROOT
from tests.docs.pages import blocks, sections
from tests.jobs.samples import running
from tests.servers import RedisServer

Exposed = dict[str, tuple[str, frozenset[str], str]]

DASHBOARD = ROOT / "deploy" / "grafana" / "model-growth.json"
(ROWS,) = [section.rows() for section in sections("docs/observability.md") if section.heading == "Metrics"]
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
# Of PromQL: functions, aggregations and what stands between; everything else that is a word is a metric or a label.
WORDS = {"max", "min", "sum", "by", "rate", "increase", "histogram_quantile"}


@pytest.fixture
def exposed(valkey: RedisServer) -> Exposed:
    """Type, labels and help of each metric, after every one of them has a value."""
    store = JobStore(SharedSettings(redis_url=valkey.url), f"test-{uuid.uuid4().hex}")
    registry = process_registry()
    registry.register(JobMetrics(Counters(store.keys, valkey.url)))
    RequestMetrics(registry).count("GET", "/jobs", 200, 0.1)
    memory = {"host_memory_bytes": 1, "gpu_memory_bytes": 1, "gpu_memory_limit_bytes": 1}
    store.use(running(store).id, 1, memory)
    text = generate_latest(registry).decode()
    store.close()
    return dict(_families(text))


def _families(text: str) -> Iterator[tuple[str, tuple[str, frozenset[str], str]]]:
    for family in text_string_to_metric_families(text):
        if family.name.startswith("growth_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            # Beside each counter and histogram stands the time at which it began.
            shown = [sample for sample in family.samples if not sample.name.endswith("_created")]
            if shown:
                labels = frozenset(label for sample in shown for label in sample.labels) - {"le"}
                yield name, (family.type, labels, family.documentation)


def test_the_table_is_what_is_exposed(exposed: Exposed) -> None:
    listed = {name: (kind, frozenset(re.findall(r"\w+", labels)), meaning) for name, kind, labels, meaning in ROWS}
    assert listed == exposed


def _queries() -> list[str]:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel["targets"]]


def _names(query: str) -> set[str]:
    """What a query reads, without the words of PromQL, its labels and its values."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|\"[^\"]*\"", " ", query)
    return set(re.findall(r"[a-z_][a-z_0-9]*", bare)) - WORDS


def _readable(exposed: Exposed) -> set[str]:
    return {f"{name}{suffix}" for name, (kind, *_) in exposed.items() for suffix in SUFFIXES.get(kind, ("",))}


def test_the_dashboard_reads_only_what_is_exposed(exposed: Exposed) -> None:
    assert len(_queries()) > 20
    for query in _queries():
        assert _names(query), query
        assert _names(query) <= _readable(exposed), query


def test_the_dashboard_shows_every_metric(exposed: Exposed) -> None:
    read = {name for query in _queries() for name in _names(query)}
    shown = {name for name, (kind, *_) in exposed.items() if read & {f"{name}{s}" for s in SUFFIXES.get(kind, ("",))}}
    assert shown == set(exposed)


def test_the_dashboards_labels_exist(exposed: Exposed) -> None:
    labels = {label for _, labels, _ in exposed.values() for label in labels} | {"le"}
    for query in _queries():
        used = {word for group in re.findall(r"by \(([^)]*)\)", query) for word in re.findall(r"\w+", group)}
        used |= set(re.findall(r"\{(\w+)=", query))
        assert used <= labels, query


def test_queries_over_jobs_never_add_up_instances() -> None:
    for query in _queries():
        own = "growth_http_" in query
        assert ("sum" in re.findall(r"\b(?:sum|max|min)\b", query)) is own, query


def test_the_dashboard_can_be_imported() -> None:
    board = json.loads(DASHBOARD.read_text())
    assert {"title", "uid", "schemaVersion", "templating"} <= set(board)
    numbers = [panel["id"] for panel in board["panels"]]
    assert len(set(numbers)) == len(numbers)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len(places)
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in board["panels"])


def test_the_examples_read_what_is_exposed(exposed: Exposed) -> None:
    text = Path(ROOT, "docs/observability.md").read_text()
    examples = [query.replace("\n", " ") for query in re.findall(r"`(max[^`]*)`", text) if "(" in query]
    assert len(examples) == 3
    assert all(_names(query) <= _readable(exposed) for query in examples)
    (scrape,) = blocks("docs/observability.md", "yaml")
    assert yaml.safe_load(scrape)["scrape_configs"][0]["job_name"]
