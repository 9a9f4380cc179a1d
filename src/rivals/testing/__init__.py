"""What every plug-in of a door must do, as test classes: subclass one, say how yours is made, and run pytest.

::

    class TestJsonLines(rivals.testing.Sources):
        def make(self):
            return JsonLines("tests/rows.jsonl")

Each test is a claim that rivals relies on. The built-ins are tested by the same classes.
"""

from __future__ import annotations

from rivals.testing.build import Families, Sources, Steps, Tuners
from rivals.testing.place import Targets
from rivals.testing.rows import prepared, sample
from rivals.testing.run import Backends, Combiners, Judges, Policies
from rivals.testing.watch import Detectors

__all__ = [
    "Backends", "Combiners", "Detectors", "Families", "Judges", "Policies", "Sources", "Steps", "Targets", "Tuners",
    "prepared", "sample",
]  # fmt: skip
