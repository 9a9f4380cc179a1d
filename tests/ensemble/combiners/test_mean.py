from __future__ import annotations

import numpy as np
import pytest

from rivals.ensemble.combiners.mean import Mean
from rivals.errors import SpecError
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


def test_weights_by_hand_are_checked() -> None:
    said = {"a": np.array([[0.2, 0.8]]), "b": np.array([[0.6, 0.4]])}
    assert np.allclose(Mean({"a": 3, "b": 1}).combine(said), [[0.3, 0.7]])
    assert list(Mean({"a": 3, "b": 0}).ask(["a", "b"], {})) == ["a"]
    for wrong in ({"a": -1.0}, {"a": float("nan")}, {"a": "1"}, {"a": 0.0}):
        with pytest.raises(SpecError, match="Weights are numbers"):
            Mean(wrong)  # type: ignore[arg-type]


def test_who_did_not_answer_leaves_its_weight_to_the_others() -> None:
    said = {"a": np.array([[0.2, 0.8]]), "b": np.array([[0.6, 0.4]])}
    assert np.allclose(Mean({"a": 2, "b": 1, "c": 1}).combine(said), [[1 / 3, 2 / 3]])
