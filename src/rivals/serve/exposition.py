"""What ``GET /metrics`` says: the counters of all workers, what others publish beside them, and what processes use.

Figures that are computed beside serving come as files: whoever has some calls ``publish_gauges`` under a name of its
own, each time with all that it has, and every exposition from then on shows them, whichever process is asked. A gauge
of the control process so outlives it; ``rivals_control_round_timestamp_seconds`` says how old it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from rivals import __version__
from rivals.metrics import PARTS, TABLE, Metric, bucketed, series
from rivals.serve.metrics import Exemplar, totals
from rivals.serve.processes import used
from rivals.values import RoutingTable

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
T = TypeVar("T")

ROOM = 128  # letters that OpenMetrics leaves the labels of an exemplar
AWKWARD = set('"\\\n')  # letters that some parsers do not find their way out of


def exposition(run_dir: Path, table: RoutingTable | None, *, openmetrics: bool = False) -> bytes:
    """All figures of an endpoint, in Prometheus' text format (0.0.4) or as OpenMetrics 1.0."""
    found: dict[str, list[str]] = {metric.name: [] for metric in TABLE}
    exemplars = _exemplars(run_dir) if openmetrics else {}
    for one, value in sorted(everything(run_dir, table).items(), key=_in_order):
        metric = PARTS.get(one.partition("{")[0])
        if metric is not None:
            found[metric.name].append(f"{one} {value:.17g}{_told(exemplars.get(one))}")
    lines = []
    for metric in TABLE:
        family, kind = _family(metric) if openmetrics else (metric.name, str(metric.kind))
        lines += [f"# HELP {family} {metric.told}", f"# TYPE {family} {kind}"]
        lines += [f"# UNIT {family} {metric.unit}"] if openmetrics and metric.unit else []
        lines += found[metric.name]
    return "\n".join([*lines, *(["# EOF"] if openmetrics else []), ""]).encode()


def everything(run_dir: Path, table: RoutingTable | None) -> dict[str, float]:
    """Every series and its value; buckets hold all that is below their bound."""
    found = gathered(run_dir, table)
    for metric in TABLE:
        found |= bucketed(found, metric) if metric.kind == "histogram" else {}
    return found


def gathered(run_dir: Path, table: RoutingTable | None) -> dict[str, float]:
    """Every series and its value; a bucket holds what fell between its bound and the one below."""
    found = totals(run_dir / "metrics") | _published(run_dir)
    if table is not None:
        found |= used(run_dir, table)
        for variant, share in shares(table).items():
            found[series("rivals_variant_weight_ratio", endpoint=table.endpoint, variant=variant)] = share
    found[series("rivals_build_info", version=__version__)] = 1.0
    return found


def shares(table: RoutingTable) -> dict[str, float]:
    """Of the units: by the slots, and of the champion's own by what the policy has learned."""
    found, learned = {arm.variant: arm.weight for arm in table.arms}, table.state.get("weights", {})
    if learned:
        own = found[table.champion]
        found[table.champion] = 0.0
        for variant, share in learned.items():
            found[variant] = found.get(variant, 0.0) + own * share
    return found


def wants_openmetrics(accept: bytes) -> bool:
    """Whether an ``Accept`` header names OpenMetrics, and plain text no more than that."""
    weights: dict[str, float] = {}
    for part in accept.decode("latin-1").split(","):
        kind, *parameters = [word.strip() for word in part.split(";")]
        told = dict(word.split("=", 1) for word in parameters if "=" in word)
        try:
            weight = float(told.get("q", "1"))
        except ValueError:
            weight = 0.0
        if told.get("version", "1.0.0") in {"1.0.0", "0.0.4"}:
            weights[kind] = max(weight, weights.get(kind, 0.0))
    asked = weights.get("application/openmetrics-text", 0.0)
    return asked > 0 and asked >= weights.get("text/plain", 0.0)


# -- files --------------------------------------------------------------------------------------------------


def publish_gauges(run_dir: Path, source: str, samples: Mapping[str, float]) -> None:
    """Let every exposition show these, by series (``rivals.metrics.series``), instead of what ``source`` told before.

    A histogram's buckets come apart, each without what is below it. Raises ``RivalsError`` where the table has no
    such metric.
    """
    for one in samples:
        series(one.partition("{")[0])
    replace(run_dir / "metrics" / f"{source}.gauges", dict(samples))


def publish_exemplars(run_dir: Path, slot: int, found: Mapping[str, Exemplar]) -> None:
    """Let others show the last answers of a worker."""
    path = run_dir / "metrics" / f"{slot}.exemplars"
    replace(path, {**_read(path, dict[str, Exemplar]), **found})


def replace(path: Path, value: object) -> None:
    """Write a small file so that whoever reads it sees the old one or the new one; a lost machine may lose it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)


def _published(run_dir: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for path in sorted((run_dir / "metrics").glob("*.gauges")):
        found |= _read(path, dict[str, float])
    return found


def _exemplars(run_dir: Path) -> dict[str, Exemplar]:
    """The newest of each bucket, over all workers."""
    found: dict[str, Exemplar] = {}
    for path in sorted((run_dir / "metrics").glob("*.exemplars")):
        for name, one in _read(path, dict[str, Exemplar]).items():
            if name not in found or found[name].time < one.time:
                found[name] = one
    return found


def _read(path: Path, kind: type[dict[str, T]]) -> dict[str, T]:
    """A file that ``replace`` wrote; one that is damaged has nothing to say, and is replaced soon."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError):
        return {}


# -- words --------------------------------------------------------------------------------------------------


def _family(metric: Metric) -> tuple[str, str]:
    """What OpenMetrics calls a metric: counters without ``_total``, and information is a kind of its own."""
    if metric.name.endswith("_info"):
        return metric.name.removesuffix("_info"), "info"
    return metric.name.removesuffix("_total"), metric.kind


def _told(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    label, value = (
        ("trace_id", exemplar.about.split("-")[1]) if _traced(exemplar.about) else ("request_id", exemplar.about)
    )
    if len(label) + len(value) > ROOM or AWKWARD & set(value):
        return ""
    return f' # {{{label}="{value}"}} {exemplar.seconds:.9g} {exemplar.time:.3f}'


def _traced(about: str) -> bool:
    """Whether this is a traceparent, ``00-<32 hexadecimal digits>-<16>-<2>``, and no request's id."""
    return len(about) == 55 and about.startswith("00-") and about.count("-") == 3  # noqa: PLR2004 -- W3C's form


def _in_order(item: tuple[str, float]) -> tuple[str, str, float, str]:
    """Series of a metric together; the buckets of a histogram by their bound."""
    one = item[0]
    name = one.partition("{")[0]
    stem, _, bound = one.partition('le="')
    metric = PARTS.get(name)
    if metric is None or metric.kind != "histogram":
        return name, one, 0.0, ""
    end = name.removeprefix(metric.name)
    if bound:
        return metric.name, stem.removeprefix(name).rstrip(",{"), float(bound.split('"')[0]), ""
    return metric.name, one.removeprefix(name).rstrip("}"), float("inf"), {"_sum": "1", "_count": "0"}[end]
