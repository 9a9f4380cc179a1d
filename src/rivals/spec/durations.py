"""Durations as people write them."""

from __future__ import annotations

import re

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def as_seconds(value: object) -> object:
    """``"10m"`` -> 600.0; numbers are seconds already. Anything else is left for the type to refuse."""
    if isinstance(value, str) and (found := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhdw])\s*", value)):
        return float(found[1]) * UNITS[found[2]]
    if isinstance(value, str):
        raise ValueError(f"{value!r} is not a duration; write a number and a unit, as 30s, 10m, 6h or 14d")
    return value
