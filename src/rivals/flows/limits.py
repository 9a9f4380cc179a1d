"""What a search's best may cost when it answers: measured when it is built, and given up where it costs more.

Latency and size are those of a bundle, which takes longer to make than most trials: only what would be kept is built.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rivals.build.bundle import Bundle
from rivals.flows.trial import BEST, before, write
from rivals.spec.project import BoundSpec
from rivals.tune.search import Tried, best_of

MB = 1e6


def broken(wanted: BoundSpec, bundle: Bundle) -> str:
    """The limit that a bundle does not keep, in words; empty: it keeps all."""
    latency, size = bundle.predict_us / 1e3, bundle.bytes / MB
    if wanted.latency_ms is not None and latency > wanted.latency_ms:
        return f"one row takes {latency:.3g} ms, {wanted.latency_ms:g} are allowed (tuning.limits.latency_ms)"
    if wanted.size_mb is not None and size > wanted.size_mb:
        return f"it has {size:.3g} MB, {wanted.size_mb:g} are allowed (tuning.limits.size_mb)"
    return ""


def give_up(folder: Path, tried: Tried, why: str) -> Tried | None:
    """Write down why a trial is not kept; the next best one, None: there is no other."""
    write(folder, replace(tried, over=why))
    (folder / BEST).unlink(missing_ok=True)  # what is tried later need not beat what cannot be kept
    return best_of(before(folder))
