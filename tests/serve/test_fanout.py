"""Members asked at once: whoever of them fails, hangs or is away, the call is answered from the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rivals.ensemble.combiners.cascade import Cascade
from rivals.ensemble.combiners.failover import Failover
from rivals.ensemble.combiners.mean import Mean
from rivals.ensemble.combiners.switch import Switch
from rivals.ensemble.combiners.vote import Vote
from rivals.errors import BundleError, Overloaded, RivalsError
from rivals.protocols import Combiner
from rivals.serve import away
from rivals.serve.asking import Told, tell
from rivals.serve.away import FAILURES
from rivals.serve.question import Asked
from rivals.serve.runtimes.together import FanOut, TogetherPredictor
from rivals.values import Columns, Outcome

from .stage import wait_until
from .test_away import There
from .test_endpoint import SIGNATURE, Fixture, Model


class Says(Model):
    """Answers (1 - p, p) to every row."""

    def __init__(self, p: float, trouble: Callable[[Sequence[float]], Any] | None = None) -> None:
        super().__init__(trouble)
        self.p = p

    def predict(self, columns: Columns) -> Any:
        super().predict(columns)
        return np.array([[1 - self.p, self.p]] * columns.rows)


class Far(There):
    """The same from another process."""

    def __init__(self, p: float, deed: Callable[[], object] = lambda: None) -> None:
        super().__init__(deed)
        self.p = p

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        self.asked += 1
        self.deed()
        return tell(Says(self.p), parts)


def fails() -> None:
    raise BundleError("Its process ended (exit -9).")


def fan(combiner: Combiner, members: dict[str, Any], **more: Any) -> FanOut:
    return FanOut(SIGNATURE, members, {name: name * 8 for name in members}, combiner, **more)


@pytest.fixture
def make() -> Iterator[Callable[..., Fixture]]:
    made: list[Fixture] = []

    def build(one: FanOut, champion: bool = True) -> Fixture:
        names = {"blend": one} if champion else {"champion": Model(), "blend": one}
        made.append(Fixture(names, dict.fromkeys(names, 1 / len(names))))  # type: ignore[arg-type]  # stand-ins
        return made[-1]

    yield build
    for one in made:
        one.endpoint.close()


def ask(stage: Fixture, name: str = "r", *xs: float, **more: Any) -> Any:
    stage.submit(name, *xs, pin="blend", **more)
    stage.run()
    return stage.answers[name]


def test_members_here_and_elsewhere_make_one_answer(make: Callable[..., Fixture]) -> None:
    stage = make(fan(Mean(), {"a": Says(0.2), "b": Far(0.4), "c": Far(0.9)}))
    got = ask(stage, "r", 0.1, 0.2)
    assert (got.variant, got.degraded) == ("blend", False)
    np.testing.assert_allclose(got.outputs, [[0.5, 0.5]] * 2)
    assert not stage.tape.counts["degraded", "blend", "partial"]


def test_they_are_asked_at_the_same_time(make: Callable[..., Fixture]) -> None:
    both = threading.Barrier(2, timeout=5)
    assert not ask(make(fan(Mean(), {"a": Far(0.2, both.wait), "b": Far(0.4, both.wait)}))).degraded


def test_a_member_in_this_process_is_asked_once_for_all_that_came_together(make: Callable[..., Fixture]) -> None:
    near = Says(0.2)
    stage = make(fan(Mean(), {"near": near, "far": Far(0.4)}))
    for number in range(5):
        stage.submit(f"r{number}", number / 10, pin="blend")
    stage.run()
    assert near.asked == [[0.0, 0.1, 0.2, 0.3, 0.4]]
    assert len(stage.answers) == 5


def test_limits_that_need_a_lane_are_not_for_an_ensemble_with_members_elsewhere(make: Callable[..., Fixture]) -> None:
    serving = make(fan(Mean(), {"near": Says(0.2), "far": Far(0.4)})).endpoint.serving
    replace(serving, limits={"blend": Asked(rows=10)})
    for limit in (Asked(wait=0.01), Asked(at_once=1)):
        with pytest.raises(RivalsError, match="'blend' asks members elsewhere: 'wait' and 'at_once' are not for it"):
            replace(serving, limits={"blend": limit})


@pytest.mark.parametrize("where", [Far, Says], ids=["elsewhere", "here"])
def test_a_member_that_fails_never_fails_the_call(make: Callable[..., Fixture], where: type) -> None:
    bad = where(0.9, fails) if where is Far else Says(0.9, lambda _: fails())
    stage = make(fan(Mean({"a": 2, "b": 1, "bad": 5}), {"a": Says(0.2), "b": Far(0.5), "bad": bad}))
    got = ask(stage)
    assert (got.variant, got.degraded) == ("blend", True)
    np.testing.assert_allclose(got.outputs, [[0.7, 0.3]], err_msg="weights of those left add up to one")
    assert stage.tape.counts["degraded", "blend", "partial"] == 1
    assert stage.tape.counts["request", "blend", "ok"] == 1


def test_a_late_member_never_fails_the_call(make: Callable[..., Fixture]) -> None:
    gate = threading.Event()
    stage = make(fan(Mean(), {"a": Says(0.2), "b": Far(0.4), "late": Far(0.9, gate.wait)}, deadline=0.5))
    got = ask(stage)
    assert got.degraded
    np.testing.assert_allclose(got.outputs, [[0.7, 0.3]])
    gate.set()
    wait_until(lambda: bool(stage.tape.todo), 5)
    stage.run()
    assert len(stage.answers) == 1, "what comes too late changes nothing"


def test_a_clients_deadline_goes_before_the_ensembles(make: Callable[..., Fixture]) -> None:
    gate = threading.Event()
    stage = make(fan(Mean(), {"a": Says(0.2), "late": Far(0.9, gate.wait)}, deadline=60.0))
    assert ask(stage, deadline_ms=50.0).degraded
    gate.set()


def test_a_member_that_failed_again_and_again_is_not_waited_for(make: Callable[..., Fixture]) -> None:
    bad = Far(0.9, fails)
    stage = make(fan(Mean(), {"a": Far(0.2), "bad": bad}))
    for number in range(FAILURES + 10):
        assert ask(stage, f"r{number}").degraded
    assert bad.asked == FAILURES


@pytest.mark.parametrize(("quorum", "answered"), [(0, False), (1, True), (2, False)])
def test_fewer_than_the_quorum_are_no_answer(make: Callable[..., Fixture], quorum: int, answered: bool) -> None:
    """Half of three, rounded up, where nothing is said."""
    bad = {name: Far(0.9, fails) for name in ("b", "c")}
    stage = make(fan(Mean(), {"a": Says(0.2), **bad}, quorum=quorum), champion=False)
    got = ask(stage)
    assert got.degraded
    assert got.variant == ("blend" if answered else "champion")
    alone = ask(make(fan(Mean(), {"a": Says(0.2), **bad}, quorum=quorum)))
    assert isinstance(alone, Overloaded) == (not answered), "nobody stands in for a champion"


def test_of_two_members_one_is_enough_where_nothing_is_said(make: Callable[..., Fixture]) -> None:
    assert ask(make(fan(Mean(), {"a": Says(0.2), "b": Far(0.4, fails)}))).degraded


def test_a_failover_asks_the_next_one_and_only_then(make: Callable[..., Fixture]) -> None:
    first, second = Far(0.2), Far(0.4)
    stage = make(fan(Failover(["first", "second"]), {"first": first, "second": second}))
    assert not ask(stage).degraded
    assert (first.asked, second.asked) == (1, 0)
    first.deed = fails
    got = ask(stage, "again")
    assert got.degraded
    np.testing.assert_allclose(got.outputs, [[0.6, 0.4]])


def test_a_failover_keeps_time_for_the_next_one(make: Callable[..., Fixture]) -> None:
    gate = threading.Event()
    stage = make(fan(Failover(["hangs", "well"]), {"hangs": Far(0.2, gate.wait), "well": Far(0.4)}, deadline=2.0))
    got = ask(stage)
    np.testing.assert_allclose(got.outputs, [[0.6, 0.4]])
    gate.set()


def test_a_cascade_asks_the_dear_one_of_what_the_cheap_one_is_unsure_of(make: Callable[..., Fixture]) -> None:
    cheap, dear = Model(), Far(0.5)
    one = fan(Cascade(order=["cheap", "dear"], thresholds=[0.9]), {"cheap": cheap, "dear": dear})
    got = ask(make(one), "r", 0.05, 0.6, 0.97)
    np.testing.assert_allclose(got.outputs, [[0.95, 0.05], [0.5, 0.5], [0.03, 0.97]])
    assert not got.degraded
    dear.deed = fails
    got = ask(make(one), "s", 0.05, 0.6)
    np.testing.assert_allclose(got.outputs, [[0.95, 0.05], [0.4, 0.6]], err_msg="the cheap one's word, then")
    assert got.degraded


RULES = [
    {"when": {"column": "x", "above": 0.5}, "to": "high"},
    {"when": {"header": "X-Tier", "is": "gold"}, "to": "gold"},
]


def test_a_switch_asks_each_member_of_its_rows_and_another_where_it_fails(make: Callable[..., Fixture]) -> None:
    high, low = Far(0.9), Says(0.1)
    stage = make(fan(Switch(RULES, "low"), {"high": high, "low": low, "gold": Far(0.5)}))
    got = ask(stage, "r", 0.2, 0.7)
    np.testing.assert_allclose(got.outputs, [[0.9, 0.1], [0.1, 0.9]])
    assert not got.degraded
    high.deed = fails
    got = ask(stage, "s", 0.2, 0.7)
    np.testing.assert_allclose(got.outputs, [[0.9, 0.1]] * 2)
    assert got.degraded


def test_an_ensemble_of_ensembles_is_asked_all_the_way_down(make: Callable[..., Fixture]) -> None:
    inner = fan(Mean(), {"a": Far(0.2), "b": Far(0.4, fails)})
    got = ask(make(fan(Mean(), {"inner": inner, "c": Says(0.4)})))
    np.testing.assert_allclose(got.outputs, [[0.7, 0.3]])


def test_a_combiner_that_raises_or_rambles_is_the_variants_failure(make: Callable[..., Fixture]) -> None:
    class Bad(Mean):
        def combine(self, answers: Any) -> Any:
            return np.full((1, 2), np.nan)

    assert ask(make(fan(Bad(), {"a": Far(0.2)}), champion=False)).variant == "champion"
    assert ask(make(fan(Vote("hard", {"zzz": 1}), {"a": Far(0.2)}), champion=False)).variant == "champion"


def test_what_a_swap_takes_away_is_answered_all_the_same(make: Callable[..., Fixture]) -> None:
    gate = threading.Event()
    stage = make(fan(Mean(), {"a": Says(0.2), "b": Far(0.4, gate.wait)}))
    for name in ("asked", "waits"):
        stage.submit(name, pin="blend")
        stage.tape.turn()
    stage.endpoint.swap(stage.serving({"blend": Model()}, {"blend": 1.0}, revision=2))
    gate.set()
    stage.run()
    assert {stage.answer(name).variant for name in ("asked", "waits")} == {"blend"}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["here", "elsewhere", "fails"])), min_size=1, max_size=6),
    st.sampled_from(["mean", "vote", "failover"]),
)
def test_it_says_what_asking_those_that_answer_one_by_one_says(members: list[tuple[float, str]], kind: str) -> None:
    combiner: Combiner = {"mean": Mean, "vote": Vote, "failover": Failover}[kind]()
    made = {
        f"m{place}": Says(p) if how == "here" else Far(p, fails if how == "fails" else lambda: None)
        for place, (p, how) in enumerate(members)
    }
    able = {name: Says(one.p) for name, one in made.items() if not (isinstance(one, Far) and one.deed is fails)}
    stage = Fixture({"blend": fan(combiner, made, quorum=1)}, {"blend": 1.0})  # type: ignore[dict-item]  # a stand-in
    try:
        got = ask(stage)
        if not able:
            assert isinstance(got, Overloaded)
            return
        alone = TogetherPredictor("d" * 64, SIGNATURE, able, combiner).predict(Columns({"x": [0.25]}, 1))
        np.testing.assert_allclose(got.outputs, alone)
    finally:
        stage.endpoint.close()


def test_a_members_answer_of_another_shape_is_its_failure(make: Callable[..., Fixture]) -> None:
    class Odd(Far):
        def tell(self, parts: Sequence[Columns]) -> list[Told]:
            return [Told([[0.1, 0.2, 0.7]], 1)] * len(parts)

    got = ask(make(fan(Mean(), {"a": Says(0.2), "odd": Odd(0.1)})))
    assert got.degraded
    np.testing.assert_allclose(got.outputs, [[0.8, 0.2]])


def test_lanes_of_members_go_with_their_ensemble() -> None:
    one = fan(Mean(), {"a": Far(0.2), "b": Says(0.3)})
    stage = Fixture({"blend": one}, {"blend": 1.0})  # type: ignore[dict-item]  # a stand-in
    assert stage.endpoint.serving.lanes == {"blend", "member:aaaaaaaa"}
    stage.endpoint.close()


def test_patience_ends_where_no_deadline_is_named(
    make: Callable[..., Fixture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away, "PATIENCE", 0.06)
    gate = threading.Event()
    stage = make(fan(Mean(), {"late": Far(0.9, gate.wait)}), champion=False)
    got = ask(stage)
    assert (got.variant, got.degraded) == ("champion", True)
    ends = [Outcome(what[2]) for kind, what in stage.tape.events if kind == "close"]
    assert ends == [Outcome.DEADLINE, Outcome.OK]
    gate.set()
