"""What else clients of the Open Inference Protocol ask: which models there are, and how often they answered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rivals.serve.metrics import answered
from rivals.serve.question import digests
from rivals.values import RoutingTable


def index(table: RoutingTable) -> list[dict[str, Any]]:
    """The model-repository extension's index: a line for each variant that may be asked."""
    return [{"name": table.endpoint, "version": name, "state": "READY", "reason": ""} for name in digests(table)]


def statistics(counters: Path, endpoint: str, variants: Sequence[str]) -> dict[str, Any]:
    """The statistics extension: answers and nanoseconds of each variant, over all workers and their restarts.

    What is not told apart here (queue, the parts of an answer) is left out, as the extension allows.
    """
    found = answered(counters, endpoint)
    told = []
    for name in variants:
        good, bad, seconds = found.get(name, (0, 0, 0.0))
        every = max(1, good + bad)
        told.append(
            {
                "name": endpoint,
                "version": name,
                "inference_count": good,
                "execution_count": good + bad,
                "inference_stats": {
                    "success": {"count": good, "ns": round(1e9 * seconds * good / every)},
                    "fail": {"count": bad, "ns": round(1e9 * seconds * bad / every)},
                },
            }
        )
    return {"model_stats": told}
