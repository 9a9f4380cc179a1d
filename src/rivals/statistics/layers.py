"""The assignment as others can follow it: the table as JSON, a global holdout, layers that share no unit.

Layers and holdout are ranges of slots under a salt of their own (Tang, Agarwal, O'Brien & Meyer, KDD 2010): who is in
one of them never depends on the routing table's salt or weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rivals.errors import RivalsError
from rivals.statistics.assignment import counts, slot
from rivals.values import SLOTS, Holdout, Layer, RoutingTable

ROUNDING = 1e-9  # what a sum of shares may be off by

ALGORITHM = (
    "BLAKE2b of the unit's UTF-8 bytes, keyed with the salt's UTF-8 bytes, digest size 8 bytes; read as a big-endian "
    "unsigned integer, modulo 10000: that is the slot. runs = [[arm, length], ...] owns the slots from 0 up, in order. "
    "First, where holdout is set: a unit whose slot under holdout.salt is below holdout.slots meets holdout.variant. "
    "Then, where layer is set: a unit whose slot under layer.name is not in [layer.start, layer.end) has the champion."
)


def exported(table: RoutingTable) -> dict[str, Any]:
    """The assignment as JSON can say it: salt, arms, run-length encoded slots, and the algorithm in words."""
    return {
        "endpoint": table.endpoint,
        "revision": table.revision,
        "algorithm": ALGORITHM,
        "salt": table.salt,
        "slots": SLOTS,
        "arms": [arm.variant for arm in table.arms],
        "runs": [[arm, len(list(run))] for arm, run in groupby(table.slots)],
        "champion": table.champion,
        "holdout": None if table.holdout is None else _said(table.holdout, "digest"),
        "layer": None if table.layer is None else _said(table.layer),
    }


def _said(value: Holdout | Layer, *without: str) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__ if name not in without}


def apart(table: RoutingTable, unit: str) -> tuple[str, str] | None:
    """Who answers a unit that no rollout of this table may touch, and why; None for all others."""
    if (holdout := table.holdout) and slot(holdout.salt, unit) < holdout.slots:
        return holdout.variant, "holdout"
    if (layer := table.layer) and not layer.start <= slot(layer.name, unit) < layer.end:
        return table.champion, "layer"
    return None


def held_out(salt: str, unit: str, share: float) -> bool:
    """Whether a unit is in the global holdout; a larger share keeps everybody who was in a smaller one."""
    if not 0 <= share <= 1:
        raise RivalsError(f"A holdout is a share from 0 to 1, as 1%; not {share!r}.")
    return slot(salt, unit) < round(share * SLOTS)


def layer_ranges(names: Sequence[str], shares: Sequence[float]) -> Mapping[str, range]:
    """Slots of each experiment of a layer; no slot is two's, and what the shares leave over is nobody's.

    Raises ``RivalsError`` where the shares add up to more than 1.
    """
    rest = 1.0 - sum(shares)
    if len(names) != len(shares) or len(set(names)) != len(names) or rest < -ROUNDING or min(shares, default=0) < 0:
        raise RivalsError(f"Shares {list(shares)} of a layer: one for each experiment, together at most 100%.")
    sizes, start, ranges = counts([*shares, max(0.0, rest)]), 0, {}
    for name, size in zip(names, sizes, strict=False):
        ranges[name] = range(start, start + size)
        start += size
    return ranges


def member(salt: str, unit: str, ranges: Mapping[str, range]) -> str | None:
    """The one experiment of the layer that a unit is in, or None."""
    number = slot(salt, unit)
    return next((name for name, owned in ranges.items() if number in owned), None)
