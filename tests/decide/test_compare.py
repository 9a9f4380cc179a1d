from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from rivals.decide.compare import Entry, Leaderboard, Truth, compare
from rivals.errors import DataError
from rivals.statistics.losses import metric

DAYS, EACH = 30, 40


def truth(seed: int = 0) -> tuple[Truth, np.ndarray]:
    """Labels of a month, and the probabilities they were drawn with."""
    rng = np.random.default_rng(seed)
    rows = DAYS * EACH
    chance = rng.uniform(0.05, 0.95, rows)
    time = np.repeat(np.arange(DAYS) * 86_400.0, EACH) + np.tile(np.arange(EACH) * 60.0, DAYS)
    return Truth((rng.random(rows) < chance).astype(np.int64), time=time), chance


def entry(name: str, chance: np.ndarray, us: float = 20.0) -> Entry:
    return Entry(name, np.column_stack([1 - chance, chance]), 1.5, us, 1000)


def board(metric_name: str = "log_loss", champion: str = "half") -> Leaderboard:
    known, chance = truth()
    blurred = np.clip(0.7 * chance + 0.15 + np.random.default_rng(1).normal(0, 0.05, len(chance)), 0.01, 0.99)
    entries = [
        entry("half", np.full(len(chance), 0.5), 5.0),
        entry("sharp", chance, 90.0),
        entry("copy", chance, 30.0),
        entry("blurred", blurred, 10.0),
        entry("inverted", 1 - chance, 1.0),
    ]
    return compare(entries, known, metric(metric_name), champion=champion)


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_the_best_come_first_with_their_tie_group_and_verdicts(name: str) -> None:
    found = board(name)
    assert [row.variant for row in found.rows] == ["copy", "sharp", "blurred", "half", "inverted"]
    assert {row.variant for row in found.rows if row.tied} == {"copy", "sharp"}
    assert {row.variant: row.verdict for row in found.rows} == {
        "copy": "better", "sharp": "better", "blurred": "better", "half": "champion", "inverted": "worse",
    }  # fmt: skip
    assert found.blocks == DAYS


def test_where_more_is_better_the_order_turns_and_the_verdicts_stay() -> None:
    found = board("roc_auc", champion="blurred")
    assert [row.variant for row in found.rows][-1] == "inverted"
    assert found.row("inverted").verdict == "worse"
    assert found.row("inverted").difference < 0


def test_of_the_tied_the_cheapest_is_recommended_and_the_reason_given() -> None:
    found = board()
    assert found.recommended == "copy"
    assert "copy and sharp cannot be told apart" in found.reason
    assert "30 us" in found.reason


def test_what_no_process_answers_is_not_recommended() -> None:
    known, chance = truth()
    found = compare([entry("fast", chance, 0.0), entry("slow", chance, 500.0)], known, metric("brier"))
    assert found.recommended == "slow"


def test_an_interval_is_around_the_score_and_the_difference_is_that_of_the_scores() -> None:
    found = board()
    half = found.row("half")
    for row in found.rows:
        assert row.low <= row.score <= row.high
        assert row.difference == pytest.approx(row.score - half.score)
        assert row.difference_low <= row.difference <= row.difference_high


def test_without_a_champion_nobody_is_better_or_worse() -> None:
    found = board(champion="")
    assert {row.verdict for row in found.rows} == {""}
    assert found.champion == ""
    assert board(champion="not compared").champion == ""


def test_the_same_seed_gives_the_same_board_and_it_is_plain_json() -> None:
    assert board() == board()
    again = msgspec.json.decode(msgspec.json.encode(board()), type=Leaderboard)
    assert again == board()


def test_other_rows_are_refused_by_the_variants_name() -> None:
    known, chance = truth()
    with pytest.raises(DataError, match="'short' answered 7 rows"):
        compare([entry("whole", chance), entry("short", chance[:7])], known, metric("brier"))


def test_nothing_to_compare_is_said_so() -> None:
    with pytest.raises(DataError, match="rivals train"):
        compare([], truth()[0], metric("brier"))


def test_too_few_rows_are_said_so() -> None:
    with pytest.raises(DataError, match="3 held-out rows are too few"):
        compare([entry("a", np.full(3, 0.5))], Truth(np.array([0, 1, 0])), metric("brier"))


def test_an_undefined_metric_is_said_so() -> None:
    known, chance = truth()
    with pytest.raises(DataError, match="roc_auc of 'a' is undefined"):
        compare([entry("a", chance)], replace(known, target=np.zeros_like(known.target)), metric("roc_auc"))


def test_equal_weights_change_nothing() -> None:
    known, chance = truth()
    entries = [entry("a", chance), entry("b", np.full(len(chance), 0.5))]
    plain = compare(entries, known, metric("brier"), champion="b")
    weighted = compare(entries, replace(known, weight=np.full(len(chance), 2.0)), metric("brier"), champion="b")
    assert plain.row("a").difference_high == pytest.approx(weighted.row("a").difference_high)
