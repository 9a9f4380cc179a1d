"""Claims of what builds: sources, steps, families, tuners."""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from rivals.build.pipeline import transformer
from rivals.build.rows import Rows, fingerprints
from rivals.protocols import Family, Source, Step, Tuner
from rivals.testing.rows import check_bundle, prepared, stepped, table_of
from rivals.tune.space import Space, named, parse
from rivals.values import Task


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
        whole = table_of(fitted.transform(rows))
        alone = np.concatenate([table_of(fitted.transform(rows.iloc[i : i + 1])) for i in range(20)])
        np.testing.assert_allclose(alone, whole[:20], rtol=1e-6, atol=1e-6)

    def test_it_leaves_its_rows_as_they_were(self) -> None:
        rows = self.rows()
        kept = rows.inputs.copy(deep=True)
        self._block(self.unfitted(), rows)
        pd.testing.assert_frame_equal(rows.inputs, kept)

    def test_it_travels_to_another_process(self) -> None:
        fitted, rows = self._fitted(), self.rows(seed=1).inputs
        arrived = pickle.loads(pickle.dumps(fitted))  # noqa: S301 -- what was pickled a moment ago
        np.testing.assert_array_equal(table_of(arrived.transform(rows)), table_of(fitted.transform(rows)))

    def test_its_bundle_answers_as_it_does(self) -> None:
        rows = self.rows()
        steps = stepped(self.make(), rows)
        check_bundle(Pipeline([("features", steps), ("model", LogisticRegression())]), rows, served=self.served)

    def _fitted(self) -> Any:
        rows = self.rows()
        return self.unfitted().fit(rows.inputs, rows.labels)

    def _block(self, unfitted: Any, rows: Rows) -> NDArray[np.float32]:
        return table_of(unfitted.fit_transform(rows.inputs, rows.labels))


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
            assert not _fitted(made), "it is not fitted yet"
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
            check_bundle(Pipeline([("features", steps), ("model", self.make().estimator(task, 0))]), rows, self.served)

    def _block(self, task: Task) -> tuple[NDArray[np.float32], Rows]:
        rows = prepared(self.columns, task)
        if not self.gaps:
            columns = tuple(type(one)(one.name, one.kind) for one in rows.signature.inputs)
            signature = type(rows.signature)(columns, rows.signature.task, rows.signature.labels)
            rows = Rows(rows.inputs.fillna(0.0), rows.target, signature, rows.ids)
        return rows.inputs.to_numpy(np.float32), rows


def _fitted(made: Any) -> bool:
    try:
        check_is_fitted(made)
    except NotFittedError:
        return False
    return True


class Tuners:
    """Claims of a ``Tuner``: it asks for points of its space, the same ones under the same seed, and hears anything."""

    learns_from = 12  # points it is told of before the claims are over

    def make(self, space: Space) -> Tuner:
        """Your tuner, made anew for this space and with one seed."""
        raise NotImplementedError

    def space(self) -> Space:
        """A space of every kind of domain, one of them conditional."""
        return parse(
            {
                "x": {"float": [-5, 5]},
                "n": {"int": [1, 100], "log": True},
                "kind": ["a", "b"],
                "deep": {"float": [0.01, 1], "log": True, "when": {"kind": "a"}},
            }
        )

    def test_it_is_a_tuner(self) -> None:
        assert isinstance(self.make(self.space()), Tuner), "a tuner has ask() and tell(params, score)"

    def test_what_it_asks_lies_in_the_space(self) -> None:
        space = self.space()
        for params in self._asked(self.make(space)):
            assert space.holds(params), params

    def test_the_same_seed_asks_the_same_points(self) -> None:
        first, second = (self._asked(self.make(self.space())) for _ in range(2))
        assert [named(one) for one in first] == [named(one) for one in second]

    def test_failures_and_points_nobody_asked_for_may_be_told(self) -> None:
        one = self.make(self.space())
        one.tell({"x": 2.0, "n": 1, "kind": "a", "deep": 0.5}, 0.0)
        one.tell({"x": 2.0, "n": 1, "kind": "b"}, math.nan)
        assert self._asked(one), "it asks on"

    def _asked(self, one: Tuner) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = []
        while len(found) < self.learns_from and (params := one.ask()) is not None:
            found.append(params)
            one.tell(params, abs(params["x"] - 2) + math.log(params["n"]))
        return found
