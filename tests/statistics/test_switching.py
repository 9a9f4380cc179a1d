"""The switcher: once at most where nothing changes, and within the delay it states where something does."""

from __future__ import annotations

import numpy as np
import pytest

from rivals.errors import DataError
from rivals.statistics.switching import Rules, Switcher, begin, delay, evidence, step

RULES = Rules()
REST = RULES.rest


def switches(streams: list[tuple[int, tuple[float, ...]]], seed: int, rules: Rules = RULES) -> list[tuple[int, str]]:
    """Rounds at which it switched, and to whom: 0/1 losses of a, b, ... with these chances, for so many rounds each."""
    rng, found = np.random.default_rng(seed), []
    names = tuple("abcdef"[: len(streams[0][1])])
    now, round_ = begin("a", names), 0
    for rounds, chances in streams:
        for losses in (rng.random((rounds, len(names))) < np.array(chances)).astype(float).tolist():
            before, now = now.switched, step(now, dict(zip(names, losses, strict=True)), {}, rules)
            if now.switched > before:
                found.append((round_, now.incumbent))
            round_ += 1
    return found


STATIONARY = [(0.3, 0.3), (0.5, 0.3), (0.3, 0.35), (0.02, 0.02), (0.5, 0.45, 0.3), (0.5, 0.3, 0.28), (0.4, 0.4, 0.4)]


@pytest.mark.parametrize("chances", STATIONARY[:3] + STATIONARY[5:6])
def test_where_nothing_changes_it_switches_once_at_most(chances: tuple[float, ...]) -> None:
    found = switches([(REST, chances)], 1)
    assert len(found) <= 1
    assert all(chances["abc".index(name)] < chances[0] for _, name in found)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("chances", STATIONARY)
def test_in_many_streams_where_nothing_changes_too(chances: tuple[float, ...]) -> None:
    """20 streams each; a second switch within 20,000 rounds has a chance of 1 % at most in each, measured far less."""
    assert sum(len(switches([(REST, chances)], seed)) > 1 for seed in range(20)) <= 1


@pytest.mark.parametrize(("before", "after"), [((0.3, 0.5), (0.5, 0.3)), ((0.2, 0.25), (0.4, 0.25))])
def test_a_reversal_is_followed_within_the_stated_delay(before: tuple[float, ...], after: tuple[float, ...]) -> None:
    """20 reversals: at most 4 later than what 95 of 100 keep (P < 2 %), and it is never so late as without forgetting."""
    gap, square = after[0] - after[1], after[0] * (1 - after[1]) + after[1] * (1 - after[0])
    stated = delay(gap, 1, RULES, square=square)
    assert stated is not None
    assert stated < 3_000
    late = 0
    for seed in range(20):
        found = switches([(1_500, before), (stated, after)], seed)
        assert [name for at, name in found if at < 1_500] == []
        late += not found
    assert late <= 4


def test_within_the_rest_it_needs_proof_that_something_changed() -> None:
    """From the worst to the second best, with the best one close: that step waits; a reversal does not."""
    quick = Rules(rest=4_000, dwell=10)
    found = [switches([(4_500, (0.9, 0.3, 0.2))], seed, quick) for seed in range(12)]
    second = [one for one in found if one[0][1] == "b"]
    assert second
    assert all(at - one[0][0] >= quick.rest for one in second for at, _ in one[1:])
    turned = switches([(1_500, (0.9, 0.3)), (1_500, (0.3, 0.9))], 5, quick)
    assert [name for _, name in turned] == ["b", "a"]
    assert turned[1][0] - turned[0][0] < quick.rest


def test_there_are_no_two_switches_within_the_dwell() -> None:
    nervous = Rules(dwell=400, rest=400, alpha=0.9)
    found = [at for at, _ in switches([(150, (0.9, 0.1)), (150, (0.1, 0.9))] * 20, 6, nervous)]
    assert len(found) >= 2
    assert np.diff(found).min() >= 400


def test_a_gain_below_the_margin_is_not_worth_a_switch() -> None:
    assert switches([(8_000, (0.33, 0.30))], 7, Rules(margin=0.1)) == []
    assert delay(0.03, 1, Rules(margin=0.1)) is None


def test_losses_that_are_weighed_up_find_it_more_slowly_and_within_their_delay() -> None:
    floor, gap = 0.1, 0.3
    stated = delay(gap, 1, RULES, bound=1 / floor, square=0.2 / floor + 0.5 / (1 - floor))
    assert stated is not None
    rng, now = np.random.default_rng(8), begin("a", ("a", "b"))
    for round_ in range(stated):
        asked = "b" if rng.random() < floor else "a"
        chance = {"a": 0.9, "b": 0.1}
        loss = float(rng.random() < (0.5 if asked == "a" else 0.2)) / chance[asked]
        now = step(now, {asked: loss}, {name: 1 / one for name, one in chance.items()}, RULES)
        if now.switched:
            assert round_ < stated
            return
    pytest.fail("it was not found")


def test_a_smaller_gap_takes_longer_and_none_takes_for_ever() -> None:
    found = [delay(gap, 2, RULES) for gap in (0.4, 0.2, 0.1)]
    assert None not in found
    assert found == sorted(found)  # type: ignore[type-var]  # None is ruled out above
    assert delay(0.0, 2, RULES) is None


def test_what_cannot_be_is_refused_in_a_sentence() -> None:
    with pytest.raises(DataError, match="lies from 0 to 1 here"):
        step(begin("a", ("a", "b")), {"a": 2.0}, {}, RULES)
    with pytest.raises(DataError, match="dwell from 0 to rest"):
        Rules(dwell=30_000)
    assert evidence(()) == -np.inf
    assert isinstance(begin("a", ("a", "b")), Switcher)
