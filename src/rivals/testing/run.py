"""Claims of what answers, judges and runs: combiners, policies, judges, backends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rivals.ensemble.together import together
from rivals.protocols import Backend, Combiner, Judge, Learner, Learns, Lesson, Policy
from rivals.statistics.assignment import slots
from rivals.values import (
    Arm,
    Choice,
    Columns,
    Counts,
    Evidence,
    Experience,
    Request,
    RoutingTable,
    Status,
    Verdict,
)

UNITS = 4_000  # units asked of a policy


class Combiners:
    """Claims of a ``Combiner``: it comes to an end, asks only members, and answers alike everywhere."""

    def make(self) -> Combiner:
        """Your combiner, made anew."""
        raise NotImplementedError

    def answers(self) -> dict[str, NDArray[np.float64]]:
        """What three members say of five rows: probabilities of two labels."""
        rng = np.random.default_rng(0)
        chances = {name: rng.random((5, 1)) for name in ("one", "two", "three")}
        return {name: np.concatenate([1 - chance, chance], axis=1) for name, chance in chances.items()}

    def test_it_is_a_combiner(self) -> None:
        assert isinstance(self.make(), Combiner), "a combiner has ask(members, answers) and combine(answers)"

    def test_it_asks_members_only_and_each_once(self) -> None:
        said = self.answers()
        combiner, heard = self.make(), dict[str, NDArray[np.float64]]()
        for _ in range(len(said) + 1):
            asked = list(combiner.ask(list(said), heard))
            assert set(asked) <= set(said), "it asks members"
            assert not set(asked) & set(heard), "nobody is asked twice"
            heard |= {name: said[name] for name in asked}
            if not asked:
                return
        raise AssertionError("asking comes to an end")

    def test_it_gives_one_answer_of_the_members_shape(self) -> None:
        one = self._together(list(self.answers()))
        assert one.shape == (5, 2)
        assert one.dtype == np.float64
        np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-9, err_msg="probabilities stay probabilities")

    def test_what_it_learns_are_options_of_its_own_as_json(self) -> None:
        combiner, said = self.make(), self.answers()
        if isinstance(combiner, Learner):
            learned = combiner.learn(Lesson(said, np.array([0, 1, 0, 1, 1]), "binary", "log_loss"))
            assert json.loads(json.dumps(learned)) == learned, "it is readable as JSON"
            signature(type(combiner)).bind(**learned)

    def test_the_order_of_answers_does_not_matter(self) -> None:
        names = list(self.answers())
        np.testing.assert_array_equal(self._together(names), self._together(names[::-1]))

    def test_it_answers_from_whoever_answers(self) -> None:
        said = self.answers()
        for able in [["one"], ["two"], ["three"], ["one", "three"], ["two", "three"]]:
            combiner, heard = self.make(), dict[str, NDArray[np.float64]]()
            while asked := list(combiner.ask(able, heard)):
                heard |= {name: said[name] for name in asked}
            one = combiner.combine(heard)
            assert one.shape == (5, 2), f"where only {' and '.join(able)} can be asked, they are"
            np.testing.assert_allclose(one.sum(axis=1), 1, atol=1e-9)

    def test_it_leaves_the_answers_as_they_were(self) -> None:
        said = self.answers()
        together(self.make(), {name: lambda name=name: said[name] for name in said})  # type: ignore[misc]  # mypy cannot infer it
        for name, before in self.answers().items():
            np.testing.assert_array_equal(said[name], before)

    def _together(self, order: Sequence[str]) -> NDArray[np.float64]:
        said = self.answers()
        return together(self.make(), {name: lambda name=name: said[name] for name in order})  # type: ignore[misc]  # mypy cannot infer it


class Policies:
    """Claims of a ``Policy``: it chooses among arms, tells how likely each was, and tells the truth."""

    sticky = True  # a unit always meets the same variant under one table

    def make(self) -> Policy:
        """Your policy, made anew."""
        raise NotImplementedError

    def table(self) -> RoutingTable:
        """The table it is asked with."""
        arms = (Arm("one", "1", 0.7), Arm("two", "2", 0.3))
        return RoutingTable("toy", 1, "one", arms, "salt", slots([0.7, 0.3]))

    def test_it_is_a_policy(self) -> None:
        assert isinstance(self.make(), Policy), "a policy has choose(table, request, rng)"

    def test_it_chooses_an_arm_and_says_how_likely_each_was(self) -> None:
        names = {arm.variant for arm in self.table().arms}
        for choice in self._choices(200):
            assert choice.variant in names
            assert choice.propensity.keys() == names
            assert choice.propensity[choice.variant] > 0, "what was chosen was possible"
            assert abs(sum(choice.propensity.values()) - 1) < 1e-9

    def test_arms_are_chosen_as_often_as_it_says(self) -> None:
        """5 standard errors: a false alarm in 1.7 million runs."""
        choices = self._choices(UNITS)
        for arm in self.table().arms:
            expected = np.array([choice.propensity[arm.variant] for choice in choices])
            chosen = np.array([choice.variant == arm.variant for choice in choices])
            error = 5 * np.sqrt((expected * (1 - expected)).sum())
            assert abs(chosen.sum() - expected.sum()) <= error, f"{arm.variant} is not chosen as often as it is said"

    def test_a_unit_stays_with_its_variant(self) -> None:
        if self.sticky:
            one, other = self._choices(200, seed=1), self._choices(200, seed=2)
            assert [choice.variant for choice in one] == [choice.variant for choice in other]

    def test_a_named_variant_is_pinned(self) -> None:
        request = Request("r", Columns({}, 1), "u", 0.0, "two")
        assert self.make().choose(self.table(), request, Random(0)).variant == "two"  # noqa: S311 -- no secret

    def experiences(self) -> list[Experience]:
        """What one that learns is told, in the order of time: ``two`` is better, and fails once."""
        return [
            Experience(
                f"r{i}", f"u{i}", name, float(i), {"one": 0.5, "two": 0.5}, i == 50,
                None if i % 3 else float(name == "two" or i % 4 == 0),
                {"one": 0.6, "two": 0.1} if i % 2 else {name: 0.4}, {"one": 0.9, "two": 0.8}, {"a": [i / 100]},
            )
            for i, name in enumerate(["one", "two"] * 50)
        ]  # fmt: skip

    def test_what_it_learns_is_json_and_the_same_in_any_batches(self) -> None:
        if not isinstance(self.make(), Learns):
            return
        begun, told = self._learned({}, []), self.experiences()
        whole = self._learned(begun, told)
        assert json.loads(json.dumps(whole)) == whole, "it is readable as JSON"
        assert self._learned(whole, []) == whole, "nothing new, nothing learned"
        parts = begun
        for start in range(0, len(told), 7):
            parts = self._learned(parts, told[start : start + 7])
        assert parts == whole, "the state depends on what was told, not on how it came"
        assert self._learned(begun, told[:50]) != whole, "it learns"

    def test_what_it_has_learned_is_drawn_as_it_says(self) -> None:
        if not isinstance(self.make(), Learns):
            return
        table = replace(self.table(), state=self._learned(self._learned({}, []), self.experiences()))
        choices = self._choices(UNITS, table=table)
        for arm in table.arms:
            expected = np.array([choice.propensity[arm.variant] for choice in choices])
            assert expected.min() > 0, "every arm is still possible"
            chosen = sum(choice.variant == arm.variant for choice in choices)
            assert abs(chosen - expected.sum()) <= 5 * np.sqrt((expected * (1 - expected)).sum())

    def test_what_was_built_anew_is_forgotten(self) -> None:
        policy = self.make()
        if isinstance(policy, Learns):
            begun = self._learned({}, [])
            assert policy.forget(self._learned(begun, self.experiences()), ["one", "two"]).keys() == begun.keys()

    def _learned(self, state: Mapping[str, Any], told: Sequence[Experience]) -> Any:
        policy = self.make()
        assert isinstance(policy, Learns)
        return json.loads(json.dumps(policy.learn(state, told)))

    def _choices(self, count: int, seed: int = 0, table: RoutingTable | None = None) -> list[Choice]:
        policy, table, rng = self.make(), table or self.table(), Random(seed)  # noqa: S311 -- no secret
        units = [Request(f"r{i}", Columns({}, 1), f"u{i}", 0.0) for i in range(count)]
        return [policy.choose(table, request, rng) for request in units]


class Judges:
    """Claims of a ``Judge``: a verdict with a reason, the same on the same evidence, and none out of nothing."""

    name = ""  # as its verdicts are signed

    def make(self) -> Judge:
        """Your judge, made anew."""
        raise NotImplementedError

    def evidence(self) -> list[Evidence]:
        """What it is asked about besides nothing at all."""
        return [Evidence("e", "old", "new", 1e9, {"old": Counts(100, 1, 100, 1, 100), "new": Counts(9, 9, 9, 9, 9)})]

    def test_it_is_a_judge(self) -> None:
        assert isinstance(self.make(), Judge), "a judge has judge(evidence)"

    def test_out_of_nothing_it_concludes_nothing(self) -> None:
        verdict = self.make().judge(Evidence("e", "old", "new", 0.0))
        assert verdict.status in {Status.INCONCLUSIVE, Status.ERROR}, f"{verdict.status.value}: {verdict.reason}"

    def test_every_verdict_has_its_name_and_a_reason(self) -> None:
        for evidence in [Evidence("e", "old", "new", 0.0), *self.evidence()]:
            verdict = self.make().judge(evidence)
            assert isinstance(verdict, Verdict)
            assert verdict.reason, "it says why"
            assert not self.name or verdict.judge == self.name

    def test_the_same_evidence_gives_the_same_verdict(self) -> None:
        for evidence in self.evidence():
            judge = self.make()
            assert judge.judge(evidence) == judge.judge(evidence) == self.make().judge(evidence)


class Backends:
    """Claims of a ``Backend``: work is done, what it raises comes back, and closing ends it."""

    def make(self) -> Backend:
        """Your backend, made anew."""
        raise NotImplementedError

    def test_it_is_a_backend(self) -> None:
        backend = self.make()
        assert isinstance(backend, Backend), "a backend has submit(task, item) and close()"
        backend.close()

    def test_it_does_what_it_is_given_and_hands_back_what_was_raised(self) -> None:
        backend = self.make()
        try:
            futures = [backend.submit(double, number) for number in (1, 2, 3)]
            wrong = backend.submit(double, None)
            assert [future.result(120) for future in futures] == [2, 4, 6]
            assert wrong.exception(120) is not None, "what a task raises is raised by its future"
        finally:
            backend.close()

    def test_closed_twice_is_closed(self) -> None:
        backend = self.make()
        backend.close()
        backend.close()


def double(number: Any) -> Any:
    """A task for a backend."""
    return number + number
