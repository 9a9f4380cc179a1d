"""OpenTelemetry spans of what variants were asked, made from the journals when they are shipped: no request waits.

The conventions have no words for inference that generates nothing (semantic-conventions#3420); the attributes here have
the shape proposed there. A span begins when the request came and ends when its variant had answered; what a
client says in ``traceparent`` holds, its decision not to sample too. ``OTEL_TRACES_SAMPLER`` and the other variables of
the SDK are obeyed.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from rivals import __version__
from rivals.serve.entries import Closed, Opened, Turn
from rivals.values import Outcome

WAITING = 10_000  # questions without an end that are remembered


class Spans:
    """Takes in turns of the journals, in their order, and exports a span for every question that ended.

    ``url`` is a collector's, for OTLP over HTTP; or ``processor`` takes the spans.
    """

    def __init__(self, endpoint: str, url: str, processor: SpanProcessor | None = None) -> None:
        self._ids = _Ids()
        about = Resource.create({"service.name": endpoint, "service.version": __version__})
        self._provider = TracerProvider(resource=about, id_generator=self._ids, shutdown_on_exit=False)
        exporter = processor or BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{url.rstrip('/')}/v1/traces"))
        self._provider.add_span_processor(exporter)
        self._tracer = self._provider.get_tracer("rivals", __version__)
        self._open: OrderedDict[tuple[str, str], tuple[str, Opened]] = OrderedDict()

    def take(self, turns: Iterable[Turn]) -> None:
        """Make spans of what these turns closed; what they opened waits for its end."""
        for turn in turns:
            for one in turn.opened:
                if one.trace:
                    self._open[one.id, one.variant] = turn.endpoint, one
            while len(self._open) > WAITING:
                self._open.popitem(last=False)
            for end in turn.closed:
                if opened := self._open.pop((end.id, end.variant), None):
                    self._span(*opened, end)

    def close(self) -> None:
        """Export what is left."""
        self._provider.shutdown()

    def _span(self, endpoint: str, one: Opened, end: Closed) -> None:
        _, trace_id, parent, flags = one.trace.split("-")
        self._ids.next = int(trace_id, 16)
        context = None
        if int(parent, 16):
            told = SpanContext(
                int(trace_id, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16))
            )
            context = trace.set_span_in_context(NonRecordingSpan(told))
        started, seconds = int(one.time * 1e9), end.latency_us / 1e6
        span = self._tracer.start_span(
            f"{'shadow' if one.shadow else 'infer'} {endpoint}",
            context,
            SpanKind.INTERNAL if one.shadow else SpanKind.SERVER,
            {
                "ml.model.name": endpoint,
                "ml.model.version": str(one.revision),
                "ml.variant": one.variant,
                "ml.inference.duration": seconds,
                "ml.inference.rows": one.rows,
                "rivals.request.id": one.id,
                "rivals.outcome": end.outcome.value,
                "rivals.shadow": one.shadow,
            },
            start_time=started,
        )
        if end.outcome is not Outcome.OK:
            span.set_status(StatusCode.ERROR, end.outcome.value)
        span.end(started + int(end.latency_us * 1e3))


class _Ids(RandomIdGenerator):  # type: ignore[misc]  # the SDK's types are not followed
    """A root span's trace id is the request's."""

    next = 0

    def generate_trace_id(self) -> int:
        return self.next or int(super().generate_trace_id())
