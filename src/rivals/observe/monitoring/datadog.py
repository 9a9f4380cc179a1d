"""What Datadog gets: a file for its agent's OpenMetrics check, or the same figures as DogStatsD datagrams.

Both ways a metric has one name: ``rivals_requests_total`` is ``rivals.requests.count``, a histogram has ``.bucket``
(cumulative, with the tag ``upper_bound``), ``.sum`` and ``.count``, and a gauge is itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rivals.metrics import PARTS, TABLE, Metric, read

TAGS = {"le": "upper_bound", "version": "rivals_version"}
MOST = 1_432  # bytes of a datagram: what passes any network whole


def check(url: str) -> dict[str, Any]:
    """``conf.d/openmetrics.d/conf.yaml``."""
    names = [{_exposed(metric): _short(metric)} for metric in TABLE]
    instance = {
        "openmetrics_endpoint": url,
        "namespace": "rivals",
        "metrics": names,
        "tag_by_endpoint": False,  # that is the address, and the tag is ours
        "rename_labels": {"version": TAGS["version"]},  # a tag that Datadog keeps for the service's
    }
    return {"init_config": {}, "instances": [instance]}


def lines(now: Mapping[str, float], sent: Mapping[str, float]) -> Iterator[str]:
    """DogStatsD lines: what was counted since ``sent``, and gauges as they are; by series."""
    for one, value in now.items():
        name, labels = read(one)
        metric = PARTS.get(name)
        if metric is None:
            continue
        tags = ",".join(f"{TAGS.get(label, label)}:{_clean(told)}" for label, told in labels.items())
        if metric.kind == "gauge":
            yield f"rivals.{_short(metric)}:{value:.10g}|g|#{tags}"
        elif value != (before := sent.get(one, 0.0)):
            part = name.removeprefix(metric.name) or "_count"
            more = value - before if value > before else value  # less: its process began again
            yield f"rivals.{_short(metric)}.{part[1:]}:{more:.10g}|c|#{tags}"


def datagrams(said: Iterable[str]) -> Iterator[bytes]:
    """Lines, as many together as fit."""
    waiting = b""
    for line in said:
        raw = line.encode()
        if waiting and len(waiting) + 1 + len(raw) > MOST:
            yield waiting
            waiting = b""
        waiting = waiting + b"\n" + raw if waiting else raw
    if waiting:
        yield waiting


def _exposed(metric: Metric) -> str:
    return metric.name.removesuffix("_total")


def _short(metric: Metric) -> str:
    """``rivals_process_cpu_seconds_total`` -> ``process.cpu_seconds``: the first word is a family, units stay on."""
    return _exposed(metric).removeprefix("rivals_").replace("process_", "process.", 1)


def _clean(told: str) -> str:
    """A tag's value without the letters that end it, and infinity in Datadog's form."""
    return "inf" if told == "+Inf" else told.translate({ord(letter): "_" for letter in "|,#\n"})
