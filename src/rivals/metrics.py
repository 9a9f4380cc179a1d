"""Every metric, once: what counts, what is shown, and what is written about it all read this table.

A series is written as Prometheus writes it, ``rivals_shed_total{endpoint="flights",reason="busy"}``, its labels in the
order of the table. Names follow Prometheus' conventions (prometheus.io/docs/practices/naming): base units, ``_total``
on what is counted, and no label whose values have no end.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from rivals.errors import RivalsError

Kind = Literal["counter", "gauge", "histogram"]
Shown = Literal["traffic", "variants", "decisions", "quality", "resources", ""]

# Seconds. The bounds of an answer's time, and of the time until its label comes.
ANSWERED = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LABELLED = (1.0, 10.0, 60.0, 600.0, 3_600.0, 21_600.0, 86_400.0, 259_200.0, 604_800.0, 2_592_000.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. ``shown`` names the row of the dashboard that it stands in; ``bounds`` are a histogram's."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    told: str
    shown: Shown = ""
    unit: Literal["", "seconds", "bytes", "ratio"] = ""
    bounds: tuple[float, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """The names that its samples have."""
        return tuple(self.name + end for end in ENDS) if self.kind == "histogram" else (self.name,)


ENDS = ("_bucket", "_sum", "_count")
OF_PROCESS = ("endpoint", "process", "worker", "variant")
TABLE = (
    Metric(
        "rivals_requests_total",
        "counter",
        ("endpoint", "variant", "outcome"),
        "Questions put to a variant for a client, by how they ended.",
        "traffic",
    ),
    Metric(
        "rivals_request_duration_seconds",
        "histogram",
        ("endpoint", "variant"),
        "From the last byte of a request to the first of its answer.",
        "traffic",
        "seconds",
        ANSWERED,
    ),
    Metric(
        "rivals_shed_total",
        "counter",
        ("endpoint", "reason"),
        "What was not done: busy, deadline and policy were requests, shadow was not.",
        "traffic",
    ),
    Metric(
        "rivals_degraded_total",
        "counter",
        ("endpoint", "variant", "reason"),
        "The champion asked where a variant failed (stand_in) or had no lease (lease); its members missing (partial); "
        "answers not written down (unrecorded).",
        "traffic",
    ),
    Metric(
        "rivals_variant_weight_ratio",
        "gauge",
        ("endpoint", "variant"),
        "Share of the units that a variant has in the table in force.",
        "variants",
        "ratio",
    ),
    Metric(
        "rivals_shadow_total",
        "counter",
        ("endpoint", "variant", "outcome"),
        "Questions put to a variant in the shadow, by how they ended.",
        "variants",
    ),
    Metric(
        "rivals_rollout_step",
        "gauge",
        ("endpoint", "variant"),
        "Where a running rollout is: 0 in the shadow, then the step from 1 on.",
        "decisions",
    ),
    Metric(
        "rivals_evidence",
        "gauge",
        ("endpoint", "judge", "claim", "pair"),
        "Natural logarithm of the e-process for a judge's claim about champion/challenger.",
        "decisions",
    ),
    Metric(
        "rivals_policy_figure",
        "gauge",
        ("endpoint", "figure"),
        "What a policy that learns says of itself: mean rewards, regret and its bound, switches.",
        "decisions",
    ),
    Metric(
        "rivals_objective_evidence",
        "gauge",
        ("endpoint", "objective"),
        "Natural logarithm of the e-detector for missing an objective.",
        "decisions",
    ),
    Metric(
        "rivals_quality",
        "gauge",
        ("endpoint", "metric", "variant"),
        "A metric over a variant's latest labelled answers to clients.",
        "quality",
    ),
    Metric(
        "rivals_drift_evidence",
        "gauge",
        ("endpoint", "column", "variant"),
        "Natural logarithm of the e-detector for drift of a column.",
        "quality",
    ),
    Metric(
        "rivals_feedback_total",
        "counter",
        ("endpoint",),
        "Labels and rewards that were acknowledged.",
        "quality",
    ),
    Metric(
        "rivals_feedback_lag_seconds",
        "histogram",
        ("endpoint",),
        "From an answer to the first that is told about it by its id, on the endpoint's clock.",
        "quality",
        "seconds",
        LABELLED,
    ),
    Metric(
        "rivals_process_cpu_seconds_total",
        "counter",
        OF_PROCESS,
        "CPU time of a process: a worker, a variant or shadow in a process of its own, the control process.",
        "resources",
        "seconds",
    ),
    Metric(
        "rivals_process_resident_bytes",
        "gauge",
        OF_PROCESS,
        "Memory of a process, as the system counts it.",
        "resources",
        "bytes",
    ),
    Metric(
        "rivals_control_round_timestamp_seconds",
        "gauge",
        ("endpoint",),
        "When the control process last wrote its figures down, in seconds since 1970.",
        "resources",
        "seconds",
    ),
    Metric("rivals_build_info", "gauge", ("version",), "1, with the version."),
)
METRICS: Mapping[str, Metric] = MappingProxyType({one.name: one for one in TABLE})
PARTS: Mapping[str, Metric] = MappingProxyType({part: one for one in TABLE for part in one.parts})


def series(name: str, **labels: str) -> str:
    """A series of a metric, or of a part of a histogram; an empty label is left out. Raises ``RivalsError``."""
    metric = PARTS.get(name)
    if metric is None:
        raise RivalsError(f"There is no metric {name!r}; the table in rivals.metrics has every one.")
    known = (*metric.labels, "le") if name.endswith("_bucket") else metric.labels
    if strange := labels.keys() - set(known):
        raise RivalsError(f"{name} has the labels {', '.join(known)}, not {', '.join(sorted(strange))}.")
    told = ",".join([f'{label}="{escaped(labels[label])}"' for label in known if labels.get(label)])
    return f"{name}{{{told}}}" if told else name


def read(written: str) -> tuple[str, dict[str, str]]:
    """The name and the labels of a series."""
    name, _, labels = written.partition("{")
    return name, {label: _plain(value) for label, value in LABEL.findall(labels)}


def bucketed(counts: Mapping[str, float], metric: Metric) -> dict[str, float]:
    """A histogram's buckets as Prometheus wants them, each with all that is below its bound, from those apart.

    ``counts``: by series, of any metrics; the rest of them is left out.
    """
    ends = [f'le="{bound}"}}' for bound in (*metric.bounds, "+Inf")]
    stems = {one[: one.index("le=")] for one in counts if one.startswith(f"{metric.name}_bucket{{")}
    found = {}
    for stem in stems:
        running = 0.0
        for end in ends:
            running += counts.get(stem + end, 0.0)
            found[stem + end] = running
    return found


LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
WRITTEN = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def escaped(label: str) -> str:
    """A label's value as it is written."""
    return label.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _plain(label: str) -> str:
    return re.sub(r'\\[\\"n]', lambda found: WRITTEN[found[0]], label)
