"""Spans from journals, as a collector gets them."""

from __future__ import annotations

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rivals.flows.traces import Spans
from rivals.serve.entries import Closed, Opened, Turn
from rivals.values import Outcome

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def opened(name: str, trace: str, variant: str = "a", *, shadow: bool = False) -> Opened:
    return Opened(name, 2, variant, shadow, 7, 1_000.0, name, {}, trace=trace)


def spans(*turns: Turn) -> dict[str, object]:
    exporter = InMemorySpanExporter()
    made = Spans("toy", "", SimpleSpanProcessor(exporter))
    made.take(turns)
    made.close()
    return {str(one.attributes["rivals.request.id"]): one for one in exporter.get_finished_spans()}  # type: ignore[index]


def test_a_span_hangs_under_its_clients() -> None:
    found = spans(
        Turn("toy", [opened("r", f"00-{TRACE}-{PARENT}-01")], []),
        Turn("toy", [], [Closed("r", 2, "a", Outcome.ERROR, 250_000)]),
    )["r"]
    assert f"{found.context.trace_id:032x}" == TRACE  # type: ignore[attr-defined]
    assert f"{found.parent.span_id:016x}" == PARENT  # type: ignore[attr-defined]
    assert found.end_time - found.start_time == 250_000_000  # type: ignore[attr-defined]
    assert not found.status.is_ok  # type: ignore[attr-defined]
    told = dict(found.attributes)  # type: ignore[attr-defined]
    assert (told["ml.model.name"], told["ml.variant"], told["rivals.outcome"]) == ("toy", "a", "error")
    assert told["ml.inference.duration"] == 0.25


def test_without_a_parent_it_is_the_root_of_its_own_trace() -> None:
    found = spans(
        Turn(
            "toy",
            [opened("r", f"00-{TRACE}-{'0' * 16}-01"), opened("s", f"00-{TRACE}-{'0' * 16}-01", "b", shadow=True)],
            [Closed("r", 2, "a", Outcome.OK, 10), Closed("s", 2, "b", Outcome.OK, 10)],
        )
    )
    assert {f"{one.context.trace_id:032x}" for one in found.values()} == {TRACE}  # type: ignore[attr-defined]
    assert [one.parent for one in found.values()] == [None, None]  # type: ignore[attr-defined]
    assert found["s"].name == "shadow toy"  # type: ignore[attr-defined]


def test_what_the_client_does_not_sample_is_no_span() -> None:
    turn = Turn("toy", [opened("r", f"00-{TRACE}-{PARENT}-00")], [Closed("r", 2, "a", Outcome.OK, 10)])
    assert spans(turn) == {}


def test_what_never_ended_and_what_has_no_trace_is_no_span() -> None:
    assert spans(Turn("toy", [opened("r", f"00-{TRACE}-{PARENT}-01"), opened("s", "")], [])) == {}
    assert spans(Turn("toy", [opened("s", "")], [Closed("s", 2, "a", Outcome.OK, 10)])) == {}
