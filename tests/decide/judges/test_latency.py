from __future__ import annotations

from typing import Any

import pytest

from rivals.decide.judges.latency import Latency
from rivals.errors import SpecError
from rivals.values import Evidence, Status


def evidence(**measured: float) -> Evidence:
    return Evidence("e", "old", "new", 0.0, estimates={f"latency.{name}": value for name, value in measured.items()})


@pytest.mark.parametrize(
    ("limits", "measured", "status"),
    [
        ({"p99_ms": 5}, {"p99_ms": 4.9}, Status.PASS),
        ({"p99_ms": 5}, {"p99_ms": 5.1}, Status.FAIL),
        ({"p99_ms": 5, "p50_us": 50}, {"p99_ms": 1.0, "p50_us": 60.0}, Status.FAIL),
        ({"p99_ms": 5, "p50_us": 50}, {"p99_ms": 1.0}, Status.INCONCLUSIVE),
        ({"p99_ms": 5}, {}, Status.INCONCLUSIVE),
    ],
)
def test_each_limit_is_held(limits: dict[str, Any], measured: dict[str, float], status: Status) -> None:
    assert Latency(**limits).judge(evidence(**measured)).status is status


@pytest.mark.parametrize(
    ("limits", "says"), [({"alpha": 1}, "alpha"), ({"p99_ms": 0}, "above 0"), ({"p50_us": "5"}, "above 0")]
)
def test_a_limit_is_a_number_above_zero(limits: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError, match=says):
        Latency(**limits)
