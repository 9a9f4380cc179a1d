"""Claims of what watches: detectors."""

from __future__ import annotations

import json
import math

import numpy as np
from numpy.typing import NDArray

from rivals.protocols import Detector, Follower, Window
from rivals.usual import NumberSketch, Sketch, TextSketch
from rivals.values import Finding

ROWS, RUNS = 2_000, 40
EDGES = np.linspace(0.05, 0.95, 19)


class Detectors:
    """Claims of a ``Detector``: it is quiet where nothing changed, loud where all did, and its memory is JSON."""

    def make(self) -> Detector:
        """Your detector, made anew."""
        raise NotImplementedError

    def numbers(self) -> NumberSketch:
        """A column that was uniform in [0, 1], with a gap in a hundred."""
        quantiles = [float(one) for one in np.linspace(0, 1, 21)]
        return NumberSketch(10_000, 100, 0.5, 0.2887, quantiles, [float(one) for one in EDGES], [495] * 20)

    def texts(self) -> TextSketch:
        """A column of three words, with a gap in a hundred."""
        return TextSketch(10_000, 100, {"a": 5_000, "b": 3_000, "c": 1_900}, 0)

    def drawn(self, rng: np.random.Generator, *, shifted: bool, text: bool = False) -> NDArray[np.float64]:
        """A window's values as they were, or wholly other ones: beyond the range, and words nobody knows."""
        if text:
            words = ["d", "e"] if shifted else ["a", "b", "c"]
            found = rng.choice(words, ROWS, p=None if shifted else [50 / 99, 30 / 99, 19 / 99]).astype(object)
            found[rng.random(ROWS) < 0.01] = None
            return found
        values = rng.random(ROWS) + (2.0 if shifted else 0.0)
        values[rng.random(ROWS) < 0.01] = np.nan
        return values

    def look(self, *, shifted: bool, text: bool = False, seed: int = 0) -> Finding | None:
        """What it sees of one window; one that needs a past has had a quiet one before."""
        detector, reference = self.make(), self._reference(text)
        rng = np.random.default_rng(seed)
        if not isinstance(detector, Follower):
            return detector.look(reference, self._window(self.drawn(rng, shifted=shifted, text=text)))
        _, memory = detector.follow(reference, self._window(self.drawn(rng, shifted=False, text=text)), None)
        window = self._window(self.drawn(rng, shifted=shifted, text=text), start=ROWS)
        return detector.follow(reference, window, memory)[0]

    def test_it_is_a_detector(self) -> None:
        assert isinstance(self.make(), Detector), "a detector has look(reference, window)"

    def test_it_is_quiet_where_nothing_changed(self) -> None:
        """40 windows of each kind: evidence of ln(8,000) has a chance of 1 in 100, with a union bound."""
        for text in (False, True):
            for seed in range(RUNS):
                found = self.look(shifted=False, text=text, seed=seed)
                assert found is None or found.log_e < math.log(2 * RUNS * 100), "it cries wolf"

    def test_it_is_loud_where_everything_changed(self) -> None:
        found = [one for text in (False, True) if (one := self.look(shifted=True, text=text)) is not None]
        assert found, "it has something to say of numbers or of texts"
        for one in found:
            assert one.effect >= 1, "what changed wholly matters"
            assert one.log_e >= math.log(1_000), "and is no chance"

    def test_it_says_what_it_looked_at(self) -> None:
        found = self.look(shifted=True) or self.look(shifted=True, text=True)
        assert found is not None
        assert (found.column, found.kind, found.variant) == ("x", "input", "")
        assert found.rows == ROWS
        assert not found.drifted, "the alarm budget decides that"

    def test_no_rows_are_no_evidence(self) -> None:
        for reference, kind in ((self.numbers(), np.float64), (self.texts(), object)):
            found = self.make().look(reference, Window("x", 0.0, 1.0, np.empty(0), np.empty(0, kind)))
            assert found is None or found.log_e == 0

    def test_the_same_window_gives_the_same_finding(self) -> None:
        assert self.look(shifted=True) == self.look(shifted=True)

    def test_what_it_remembers_is_json(self) -> None:
        detector = self.make()
        if isinstance(detector, Follower):
            for text in (False, True):
                values = self.drawn(np.random.default_rng(0), shifted=False, text=text)
                _, memory = detector.follow(self._reference(text), self._window(values), None)
                again = json.loads(json.dumps(memory))
                first, second = (
                    detector.follow(self._reference(text), self._window(values, start=ROWS), one)
                    for one in (memory, again)
                )
                assert first == second, "what went through JSON is remembered as well"

    def _reference(self, text: bool) -> Sketch:
        return self.texts() if text else self.numbers()

    def _window(self, values: NDArray[np.float64], start: float = 0.0) -> Window:
        return Window("x", start, start + ROWS, start + np.arange(len(values), dtype=np.float64), values)
