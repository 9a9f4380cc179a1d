"""What is planned is what the project file asks for and what was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import DataError
from rivals.flows.simulate import read_times
from rivals.infra.simulation import Policy, simulate
from rivals.placement import Scale


def test_a_list_of_times_is_read_in_order_and_anything_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "times.txt"
    file.write_text("3.5\n1\n2.25\n")
    assert read_times(file) == [1.0, 2.25, 3.5]
    file.write_text("1\nnoon\n")
    with pytest.raises(DataError, match="no list of times in seconds, one a line"):
        read_times(file)
    with pytest.raises(DataError, match=r"missing\.txt"):
        read_times(tmp_path / "missing.txt")


def test_twice_the_rate_of_a_replica_never_sheds_more() -> None:
    arrivals = [one / 30 for one in range(3000)]
    shed = [simulate(arrivals, Policy(Scale(1, 1), rate, queue=10)).shed for rate in (5, 10, 20, 40)]
    assert shed == sorted(shed, reverse=True)
    assert shed[-1] == 0
