from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression

from rivals.build.bundle import outputs
from rivals.bundles import columns_of
from rivals.errors import BundleError
from rivals.serve.runtimes.blocks import finite
from rivals.serve.runtimes.native import NativePredictor
from rivals.serve.runtimes.onnx import OnnxPredictor
from rivals.values import Columns
from tests.mixed import INPUTS, bundle, fitted, frame, signature

CASES = {
    "linear of two": (LogisticRegression(max_iter=300), "binary"),
    "linear of three": (LogisticRegression(max_iter=300), "multiclass"),
    "values": (LinearRegression(), "regression"),
    "trees": (LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1), "binary"),
}


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    estimator, task = CASES[request.param]
    pipeline = fitted(estimator, task, scale=request.param != "trees")
    made = bundle(tmp_path_factory.mktemp("bundles"), pipeline, task)
    runtimes = [OnnxPredictor(made.folder, signature(task))]
    if (made.folder / "native.json").exists():
        runtimes.append(NativePredictor(made.folder, signature(task)))
    return pipeline, signature(task), runtimes


numbers = st.one_of(st.none(), st.floats(-1e6, 1e6, width=32))
texts = st.one_of(st.none(), st.sampled_from(["UA", "é", "漢", "", "None", "nan", "D1", "D2"]), st.text(max_size=5))
row = st.tuples(
    *[
        (numbers if column.nullable else st.floats(0, 1e5, width=32))
        if column.kind == "number"
        else (texts if column.nullable else texts.filter(lambda value: value is not None))
        for column in INPUTS
    ]
)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(row, min_size=1, max_size=4))
def test_any_rows_are_answered_as_the_pipeline_answers_them(case, rows):
    pipeline, asked, runtimes = case
    values = {c.name: [r[i] for r in rows] for i, c in enumerate(INPUTS)}
    columns = Columns(values, len(rows))
    kinds = {"number": np.float32, "text": object}
    made = pd.DataFrame({c.name: pd.Series(values[c.name], dtype=kinds[c.kind]) for c in INPUTS})
    expected = outputs(pipeline, made, asked)
    for runtime in runtimes:
        got = runtime.predict(columns)
        # Rows as wild as these leave float32 little: values are compared to their size.
        size = 1 + np.abs(expected) if asked.task == "regression" else 1
        assert (np.abs(got - expected) <= 3e-5 * size).all()


def test_a_row_is_answered_the_same_alone_and_in_a_batch(case):
    _, asked, runtimes = case
    rows = frame(50, seed=3)
    batch = columns_of(rows, asked)
    for runtime in runtimes:
        together = runtime.predict(batch)
        assert together.shape == (50, len(asked.labels) or 1)
        assert together.dtype == np.float64
        for i in range(50):
            alone = runtime.predict(columns_of(rows.iloc[[i]], asked))
            assert np.abs(alone[0] - together[i]).max() <= 1e-6 * max(1, np.abs(together[i]).max())


def test_threads_may_ask_at_once(case):
    _, asked, runtimes = case
    batches = [columns_of(frame(30, seed=seed), asked) for seed in range(8)]
    for runtime in runtimes:
        expected = [runtime.predict(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(runtime.predict, batches * 5))
        assert all(np.array_equal(g, expected[i % 8]) for i, g in enumerate(got))


@pytest.mark.parametrize(
    "output", [np.array([[np.nan, 1]]), np.array([[np.inf, 0]]), np.array([[0.5]]), np.array([[np.inf, -np.inf]])]
)
def test_rubbish_does_not_leave(output):
    with np.errstate(invalid="ignore"), pytest.raises(BundleError):
        finite(output, 1, 2, "0" * 64)
