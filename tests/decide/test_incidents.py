"""Synthetic incidents are what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.decide.certify import Traffic
from rivals.decide.incidents import DAY, FAILING, Incident, synthetic

INCIDENTS = {one.name: one for one in synthetic(days=20, per_day=10_000)}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Traffic]:
    return {name: one.draw(np.random.default_rng(1)) for name, one in INCIDENTS.items()}


def brier(traffic: Traffic) -> np.ndarray:
    return (traffic.challenger - traffic.label) ** 2 - (traffic.champion - traffic.label) ** 2


def test_the_challenger_is_as_bad_as_its_incident_says(drawn: dict[str, Traffic]) -> None:
    for name, ratio in (
        ("identical", 1),
        ("better", 0.5),
        ("fails twice as often", 2),
        ("fails ten times as often", 10),
    ):
        found = drawn[name]
        assert found.champion_failed.mean() == pytest.approx(FAILING, rel=0.15)  # four standard errors
        assert found.challenger_failed.mean() == pytest.approx(ratio * FAILING, rel=0.2)


def test_the_truth_of_answers_is_in_their_loss(drawn: dict[str, Traffic]) -> None:
    found = {name: float(np.nanmean(brier(one))) for name, one in drawn.items()}
    assert abs(found["identical"]) < 0.001
    assert found["better"] < -0.01
    assert 0.01 < found["answers a little worse"] < found["answers much worse"]


def test_the_bad_slice_is_bad_alone(drawn: dict[str, Traffic]) -> None:
    found = drawn["answers badly in one slice"]
    there = np.array([one == ("region=a",) for one in found.slices])
    assert np.nanmean(brier(found)[there]) > 0.03
    assert abs(np.nanmean(brier(found)[~there])) < 0.001


def test_slow_degradation_begins_as_an_equal(drawn: dict[str, Traffic]) -> None:
    found = drawn["degrades slowly"]
    early, late = found.time < 2 * DAY, found.time > 18 * DAY
    assert found.challenger_failed[early].mean() < 2 * FAILING
    assert found.challenger_failed[late].mean() > 8 * FAILING
    assert np.nanmean(brier(found)[early]) < 0.004
    assert np.nanmean(brier(found)[late]) > 0.03


def test_an_outage_is_shared(drawn: dict[str, Traffic]) -> None:
    found = drawn["identical, shared outage"]
    during = (found.time >= DAY) & (found.time < 3 * DAY)
    for failed in (found.champion_failed, found.challenger_failed):
        assert failed[during].mean() == pytest.approx(5 * FAILING, rel=0.2)
        assert failed[~during].mean() == pytest.approx(FAILING, rel=0.2)


def test_nights_are_quiet(drawn: dict[str, Traffic]) -> None:
    hours = np.histogram(drawn["identical"].time % DAY, bins=24, range=(0, DAY))[0]
    assert hours.max() / hours.min() > 6
    assert (np.diff(drawn["identical"].time) >= 0).all()


def test_labels_come_after_their_requests(drawn: dict[str, Traffic]) -> None:
    for one in drawn.values():
        assert (one.due >= one.time).all()


def test_a_seed_draws_the_same_incident() -> None:
    one: Incident = synthetic(days=2, per_day=100)[0]
    first, second = one.draw(np.random.default_rng(4)), one.draw(np.random.default_rng(4))
    assert (first.challenger == second.challenger).all()
    assert (first.challenger_failed == second.challenger_failed).all()
