"""Traces over OpenTelemetry, from a request through the worker to the process that does the job; off by default.

On where `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector, by OTLP over HTTP; OpenTelemetry's own variables say the rest.
The context travels as a W3C `traceparent`: in a request's header, in the job's record, in the work of a child.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
STOP_MILLISECONDS = 3000
"""How long a process that ends waits for its last spans to be taken."""
_HEADER = "traceparent"
Kind = Literal["server", "consumer", "internal"]
About = Mapping[str, str | int | None]
NOTHING: About = {}


class Traces:
    """One of these in each process; makes spans where there is a provider, and else does nothing."""

    def __init__(self, provider: "TracerProvider | None" = None) -> None:
        self._provider = provider
        self._tracer: Tracer | None = None if provider is None else provider.get_tracer("model-growth")

    @contextmanager
    def span(
        self, name: str, about: About = NOTHING, *, parent: str | None = None, kind: Kind = "internal"
    ) -> Iterator["Open"]:
        """A span around the block; below the one of the block around it, or below `parent` where that is given.

        What is raised is noted and passed on. `about` are its attributes, those that are None left out.
        """
        if self._tracer is None:
            yield Open(None)
            return
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        context = None if parent is None else TraceContextTextMapPropagator().extract({_HEADER: parent})
        given = {key: value for key, value in about.items() if value is not None}
        kinds = trace.SpanKind
        chosen = {"server": kinds.SERVER, "consumer": kinds.CONSUMER, "internal": kinds.INTERNAL}[kind]
        with self._tracer.start_as_current_span(name, context, chosen, attributes=given) as span:
            yield Open(span)

    def close(self) -> None:
        """Sends what is still to be sent."""
        if self._provider is not None:
            self._provider.force_flush(STOP_MILLISECONDS)
            self._provider.shutdown()


class Open:
    """A span that is not over; says nothing where traces are off."""

    def __init__(self, span: "Span | None") -> None:
        self._span = span

    def note(self, about: Mapping[str, str | int]) -> None:
        """More attributes, known only now."""
        if self._span is not None:
            self._span.set_attributes(about)

    def rename(self, name: str) -> None:
        if self._span is not None:
            self._span.update_name(name)

    def fail(self, reason: str) -> None:
        """It did not come to its end, and nothing is raised."""
        if self._span is not None:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_status(Status(StatusCode.ERROR, reason))

    @property
    def traceparent(self) -> str | None:
        """What a process needs to go on below this span; None where traces are off."""
        if self._span is None:
            return None
        from opentelemetry.trace import set_span_in_context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        carrier: dict[str, str] = {}
        TraceContextTextMapPropagator().inject(carrier, set_span_in_context(self._span))
        return carrier.get(_HEADER)


OFF = Traces()


def open_traces(process: Literal["service", "worker"]) -> Traces:
    """By the environment. Raises RuntimeError where a collector is named and OpenTelemetry is not installed."""
    if not _asked_for():
        return OFF
    check_installed()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": f"model-growth-{process}"}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def check_installed() -> None:
    """Raises RuntimeError where a collector is named and OpenTelemetry is not installed."""
    if _asked_for() and any(find_spec(name) is None for name in ("opentelemetry", "opentelemetry.exporter")):
        raise RuntimeError(
            f"{ENDPOINTS[0]} is set, but OpenTelemetry is not installed: pip install 'model-growth[traces]', or unset "
            "it."
        )


def _asked_for() -> bool:
    named = any(os.environ.get(name) for name in ENDPOINTS)
    return named and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true"
