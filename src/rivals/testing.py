"""What every plug-in of a door must do, as test classes: subclass one, say how yours is made, and run pytest.

::

    class TestJsonLines(rivals.testing.Sources):
        def make(self):
            return JsonLines("tests/rows.jsonl")

Each test is a claim that rivals relies on. The built-ins are tested by the same classes.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline

from rivals.build.bundle import Bundle, outputs, write
from rivals.build.pipeline import transformer
from rivals.build.rows import Rows, fingerprints, prepare
from rivals.bundles import TOLERANCE, columns_of
from rivals.ensemble.together import together
from rivals.protocols import Backend, Combiner, Family, Judge, Policy, Source, Step
from rivals.serve.runtimes import open_bundle, predictor
from rivals.spec.project import DataSpec
from rivals.statistics.assignment import slots
from rivals.values import Arm, Choice, Columns, Counts, Evidence, Request, RoutingTable, Status, Task, Verdict

UNITS = 4_000  # units asked of a policy


def sample(task: Task = "binary", rows: int = 400, seed: int = 0) -> pd.DataFrame:
    """Rows as they come: numbers ``a`` and ``b`` with gaps, texts ``color`` with gaps, ``words``, and target ``y``."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=(2, rows))
    color = rng.choice(np.array(["red", "green", "blue", None], dtype=object), rows, p=[0.4, 0.3, 0.2, 0.1])
    words = [" ".join(rng.choice(["late", "early", "rain", "snow", "sun"], 3)) for _ in range(rows)]
    signal = 1.5 * a - b + (color == "red")
    frame = pd.DataFrame({"a": a, "b": b, "color": color, "words": words})
    frame.loc[rng.random(rows) < 0.1, "b"] = np.nan
    match task:
        case "binary":
            target: NDArray[Any] = (rng.random(rows) < 1 / (1 + np.exp(-signal))).astype(int)
        case "multiclass":
            target = np.array(["low", "mid", "top"])[np.digitize(signal + rng.normal(size=rows), [-1, 1])]
        case _:
            target = 50 + 10 * signal + rng.normal(size=rows)
    return frame.assign(y=target)


def prepared(columns: Sequence[str], task: Task = "binary", seed: int = 0) -> Rows:
    """Those columns of ``sample`` as a family and a step get them."""
    frame = sample(task, seed=seed)
    return prepare(frame[[*columns, "y"]], DataSpec.model_validate({"source": "function", "task": task, "target": "y"}))


class Sources:
    """Claims of a ``Source``: the same rows under the same digest, every time."""

    def make(self) -> Source:
        """Your source, made anew."""
        raise NotImplementedError

    def other(self) -> Source | None:
        """Your source with other rows; None: there is none to try."""
        return None

    def test_it_is_a_source(self) -> None:
        assert isinstance(self.make(), Source), "a source has read() and digest()"

    def test_it_reads_rows_of_named_columns(self) -> None:
        frame = self.make().read()
        assert isinstance(frame, pd.DataFrame), f"read() gives a pandas DataFrame, not a {type(frame).__name__}"
        assert len(frame), "there are rows"
        assert all(isinstance(name, str) for name in frame.columns), "columns have names"
        assert len(set(frame.columns)) == len(frame.columns), "each name stands once"

    def test_it_reads_the_same_rows_again(self) -> None:
        pd.testing.assert_frame_equal(self.make().read(), self.make().read())

    def test_rows_that_were_changed_by_their_reader_are_not_handed_on(self) -> None:
        source = self.make()
        first = source.read()
        kept = first.copy(deep=True)
        first["a new column"] = 0
        del first[first.columns[0]]
        pd.testing.assert_frame_equal(source.read(), kept)

    def test_its_digest_names_its_rows(self) -> None:
        assert self.make().digest() == self.make().digest()
        other = self.other()
        assert other is None or other.digest() != self.make().digest(), "other rows, another digest"

    def test_each_column_is_of_one_kind(self) -> None:
        fingerprints(self.make().read())


class Steps:
    """Claims of a ``Step``: it treats every row by itself, travels between processes, and is served as fitted."""

    columns: tuple[str, ...] = ("a", "b")  # of ``sample``, that it works on
    served = True  # a bundle with it is answered in process

    def make(self) -> Step:
        """Your step, made anew."""
        raise NotImplementedError

    def rows(self, seed: int = 0) -> Rows:
        """The rows it is tried on."""
        return prepared(self.columns, seed=seed)

    def unfitted(self) -> Any:
        """The transformer it gives for these rows."""
        inputs = self.rows().signature.inputs
        numeric = [column.name for column in inputs if column.kind == "number"]
        return self.make().transformer(numeric, [column.name for column in inputs if column.kind == "text"])

    def test_it_is_a_step(self) -> None:
        assert isinstance(self.make(), Step), "a step has transformer(numeric, text)"
        assert isinstance(getattr(self.make(), "columnwise", False), bool)

    def test_its_transformer_is_unfitted_and_can_be_cloned(self) -> None:
        clone(self.unfitted())

    def test_it_gives_a_table_with_a_row_for_each_row(self) -> None:
        block, rows = self._block(self.unfitted(), self.rows()), self.rows()
        assert block.ndim == 2, "a table has rows and columns"
        assert len(block) == len(rows)

    def test_it_is_fitted_the_same_way_twice(self) -> None:
        np.testing.assert_array_equal(
            self._block(self.unfitted(), self.rows()), self._block(self.unfitted(), self.rows())
        )

    def test_it_treats_every_row_by_itself(self) -> None:
        rows, fitted = self.rows(seed=1).inputs, self._fitted()
        whole = _table(fitted.transform(rows))
        alone = np.concatenate([_table(fitted.transform(rows.iloc[i : i + 1])) for i in range(20)])
        np.testing.assert_allclose(alone, whole[:20], rtol=1e-6, atol=1e-6)

    def test_it_leaves_its_rows_as_they_were(self) -> None:
        rows = self.rows()
        kept = rows.inputs.copy(deep=True)
        self._block(self.unfitted(), rows)
        pd.testing.assert_frame_equal(rows.inputs, kept)

    def test_it_travels_to_another_process(self) -> None:
        fitted, rows = self._fitted(), self.rows(seed=1).inputs
        arrived = pickle.loads(pickle.dumps(fitted))  # noqa: S301 -- what was pickled a moment ago
        np.testing.assert_array_equal(_table(arrived.transform(rows)), _table(fitted.transform(rows)))

    def test_its_bundle_answers_as_it_does(self) -> None:
        rows = self.rows()
        steps = _stepped(self.make(), rows)
        _check_bundle(Pipeline([("features", steps), ("model", LogisticRegression())]), rows, served=self.served)

    def _fitted(self) -> Any:
        rows = self.rows()
        return self.unfitted().fit(rows.inputs, rows.labels)

    def _block(self, unfitted: Any, rows: Rows) -> NDArray[np.float32]:
        return _table(unfitted.fit_transform(rows.inputs, rows.labels))


class Families:
    """Claims of a ``Family``: unfitted estimators that fit any block of numbers, the same way under the same seed."""

    tasks: tuple[Task, ...] = ("binary", "multiclass", "regression")
    columns: tuple[str, ...] = ("a", "b")
    gaps = False  # it takes missing numbers
    served = True  # a bundle with it is answered in process

    def make(self) -> Family:
        """Your family, made anew."""
        raise NotImplementedError

    def test_it_is_a_family(self) -> None:
        assert isinstance(self.make(), Family), "a family has estimator(task, seed)"

    def test_its_estimator_is_unfitted_and_can_be_cloned(self) -> None:
        for task in self.tasks:
            made = self.make().estimator(task, 0)
            assert not hasattr(made, "n_features_in_"), "it is not fitted yet"
            clone(made)

    def test_it_answers_every_row_with_finite_numbers(self) -> None:
        for task in self.tasks:
            block, rows = self._block(task)
            model = self.make().estimator(task, 0).fit(block, rows.labels)
            if task == "regression":
                assert np.isfinite(np.asarray(model.predict(block)).reshape(len(rows), 1)).all()
                continue
            chances = np.asarray(model.predict_proba(block), np.float64)
            assert chances.shape == (len(rows), len(rows.signature.labels)), "a probability for each label"
            assert (chances >= 0).all()
            np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
            assert list(model.classes_) == list(rows.signature.labels), "classes_ says whose they are, in order"

    def test_the_same_seed_gives_the_same_model(self) -> None:
        for task in self.tasks:
            block, rows = self._block(task)
            first, second = (self.make().estimator(task, 7).fit(block, rows.labels) for _ in range(2))
            ask = "predict" if task == "regression" else "predict_proba"
            np.testing.assert_array_equal(getattr(first, ask)(block), getattr(second, ask)(block))

    def test_its_bundle_answers_as_it_does(self) -> None:
        for task in self.tasks:
            _, rows = self._block(task)
            steps = transformer((), rows.signature.inputs)
            _check_bundle(Pipeline([("features", steps), ("model", self.make().estimator(task, 0))]), rows, self.served)

    def _block(self, task: Task) -> tuple[NDArray[np.float32], Rows]:
        rows = prepared(self.columns, task)
        if not self.gaps:
            columns = tuple(type(one)(one.name, one.kind) for one in rows.signature.inputs)
            signature = type(rows.signature)(columns, rows.signature.task, rows.signature.labels)
            rows = Rows(rows.inputs.fillna(0.0), rows.target, signature, rows.ids)
        return rows.inputs.to_numpy(np.float32), rows


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

    def test_the_order_of_answers_does_not_matter(self) -> None:
        names = list(self.answers())
        np.testing.assert_array_equal(self._together(names), self._together(names[::-1]))

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

    def _choices(self, count: int, seed: int = 0) -> list[Choice]:
        policy, table, rng = self.make(), self.table(), Random(seed)  # noqa: S311 -- no secret
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


# -- what several claims need ------------------------------------------------------------------------


def _table(block: Any) -> NDArray[np.float32]:
    plain = block.toarray() if hasattr(block, "toarray") else block
    return np.asarray(plain, np.float32)


def _stepped(step: Step, rows: Rows) -> Any:
    """The step alone between raw rows and a model, as a project with this one step has it; gaps are filled after it."""
    from sklearn.impute import SimpleImputer  # noqa: PLC0415 -- here alone

    inputs = rows.signature.inputs
    numeric = [column.name for column in inputs if column.kind == "number"]
    made = step.transformer(numeric, [column.name for column in inputs if column.kind == "text"])
    return Pipeline([("step", made), ("filled", SimpleImputer(keep_empty_features=True))])


def _check_bundle(pipeline: Any, rows: Rows, served: bool) -> None:
    """Fit, bundle, open, ask: the answers are the pipeline's own, on rows it has not met."""
    signature = rows.signature
    if signature.task == "regression" and isinstance(pipeline.steps[-1][1], LogisticRegression):
        pipeline.steps[-1] = ("model", LinearRegression())
    pipeline.fit(rows.inputs, rows.labels)
    with tempfile.TemporaryDirectory() as name:
        made: Bundle = write(Path(name), pipeline, signature, rows.inputs, runtime=predictor)
        if not served:
            assert made.manifest.runtime != "child" or made.manifest.reason, "it says why it is not served in process"
            return
        assert made.manifest.runtime != "child", made.manifest.reason
        said = open_bundle(made.folder, lambda digest: Path(name, digest)).predict(columns_of(rows.inputs, signature))
    expected = outputs(pipeline, rows.inputs, signature)
    size = max(1.0, float(np.abs(expected).mean())) if signature.task == "regression" else 1.0
    worst = float(np.abs(said - expected).max())
    assert worst <= TOLERANCE * size, f"the bundle is {worst:g} away from the pipeline"
