from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rivals.build.folds import split
from rivals.build.pipeline import FINAL, StepsJob, arrays, fitted_steps, keep, kept, share, transformer
from rivals.errors import SpecError
from rivals.values import Column, Use

from .toy import ENCODE, HERE, IMPUTE, SCALE, prepared

INPUTS = (Column("a", "number"), Column("b", "number", nullable=True), Column("color", "text", nullable=True))
PRODUCT = Use("function", {"function": f"{HERE}:product", "columns": ["a", "b"], "scale": 2.0})


def test_columns_with_the_same_steps_go_together_and_others_pass() -> None:
    rows = prepared()
    made = transformer([Use("impute", {"columns": ["b"]}), Use("scale", {"columns": ["b"]}), ENCODE], INPUTS)
    out = np.asarray(made.fit_transform(rows.inputs))
    assert [names for _, _, names in made.transformers] == [["a"], ["b"], ["color"]]
    assert (out[:, 0] == rows.inputs["a"].to_numpy()).all()
    assert abs(out[:, 1].mean()) < 1e-3
    assert out.shape[1] == 2 + 4
    assert out.dtype == np.float32


def test_without_steps_numbers_pass_with_their_gaps() -> None:
    rows = prepared()
    out = transformer([], INPUTS[:2]).fit_transform(rows.inputs[["a", "b"]])
    assert np.isnan(np.asarray(out, float)).any()


def test_numbers_and_texts_of_one_step_go_apart() -> None:
    made = transformer([Use("encode", {"columns": ["a", "color"]})], (INPUTS[0], INPUTS[2]))
    assert [names for _, _, names in made.transformers] == [["a"], ["color"]]


def test_the_users_own_step_sees_its_columns_by_name() -> None:
    rows = prepared()
    out = np.asarray(transformer([IMPUTE, PRODUCT, ENCODE], INPUTS).fit_transform(rows.inputs))
    filled = rows.inputs["b"].fillna(rows.inputs["b"].median())
    assert np.allclose(out[:, 0], 2 * rows.inputs["a"] * filled, atol=1e-5)


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        ([IMPUTE], "color holds texts and no step makes numbers of them; add {use: encode, with: {columns: [color]}}"),
        ([Use("encode", {"columns": ["colour"]})], "no input column 'colour'. Did you mean 'color'"),
        ([Use("impute", {"columns": ["b"]}), PRODUCT, ENCODE], "a, b come to it by different steps"),
        ([Use("scale", {"columns": "all"})], "color holds texts"),
    ],
)
def test_what_cannot_be_is_refused(steps: list[Use], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        transformer(steps, INPUTS)
    assert says in str(caught.value)


def test_shared_arrays_are_what_each_fold_alone_would_give(tmp_path: Path) -> None:
    rows = prepared()
    division = split(len(rows), by="time", folds=3, test=0.2, gap=3600.0, time=rows.time)
    folder = keep(rows, division, tmp_path / "rows")
    steps = (IMPUTE, SCALE, ENCODE)
    into = share(StepsJob("all", steps, None, folder, tmp_path / "features"))
    for k, (train, valid) in enumerate(division.folds):
        alone = transformer(steps, rows.signature.inputs).fit(rows.inputs.iloc[train])
        block, others = arrays(into, str(k))
        assert (block == alone.transform(rows.inputs.iloc[train])).all()
        assert (others == alone.transform(rows.inputs.iloc[valid])).all()
    fitted, seconds = fitted_steps(into)
    assert (arrays(into, FINAL)[1] == fitted.transform(rows.inputs.iloc[division.test])).all()
    assert seconds > 0
    again, same = kept(folder)
    assert again.inputs.equals(rows.inputs)
    assert (same.test == division.test).all()


def test_a_feature_set_may_take_some_of_the_columns(tmp_path: Path) -> None:
    rows = prepared()
    folder = keep(rows, split(len(rows), test=0.0), tmp_path / "rows")
    into = share(StepsJob("few", (IMPUTE,), ("a", "b"), folder, tmp_path / "features"))
    assert arrays(into, FINAL)[0].shape == (len(rows), 2)
    assert arrays(into, FINAL)[1].shape == (0, 2)


def test_steps_that_leave_texts_are_refused_by_the_name_of_the_set(tmp_path: Path) -> None:
    rows = prepared()
    folder = keep(rows, split(len(rows)), tmp_path / "rows")
    shout = Use("function", {"function": f"{HERE}:words", "columns": ["color"]})
    with pytest.raises(SpecError, match="features loud: what comes out of the steps is no table of numbers"):
        share(StepsJob("loud", (IMPUTE, shout), None, folder, tmp_path / "features"))
