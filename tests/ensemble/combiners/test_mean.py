from __future__ import annotations

import numpy as np

from rivals.ensemble.combiners.mean import Mean
from rivals.plugins import make
from rivals.protocols import Combiner
from rivals.values import Use


def test_it_is_found_by_its_name() -> None:
    assert isinstance(make(Combiner, Use("mean")), Mean)


def test_everyone_is_asked_once() -> None:
    assert list(Mean().ask(["a", "b"], {})) == ["a", "b"]
    assert list(Mean().ask(["a", "b"], {"a": np.zeros((1, 2))})) == ["b"]
    assert not Mean().ask(["a", "b"], {"a": np.zeros((1, 2)), "b": np.zeros((1, 2))})


def test_the_answer_is_the_mean_in_any_order_of_answers() -> None:
    rng = np.random.default_rng(0)
    said = {name: rng.random((7, 3)) for name in "cab"}
    there, back = Mean().combine(said), Mean().combine(dict(reversed(said.items())))
    assert np.allclose(there, (said["a"] + said["b"] + said["c"]) / 3, atol=1e-15)
    assert (there == back).all()
    assert there.dtype == np.float64
