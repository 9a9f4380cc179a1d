import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rivals.build.convert import UNSEEN, lookup, to_onnx
from rivals.bundles import NULL
from rivals.values import Column, Signature
from tests.mixed import bundle, fitted, frame, signature, target

ORDER = list(frame(10).columns)


def run(model, **blocks):
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model.SerializeToString(), options).run(None, blocks)[0]


def test_a_graph_has_two_inputs_and_one_output():
    model = to_onnx(fitted(LogisticRegression(max_iter=300), scale=True), signature("binary"), ORDER)
    assert [i.name for i in model.graph.input] == ["numbers", "texts"]
    assert [i.type.tensor_type.elem_type for i in model.graph.input] == [
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.STRING,
    ]
    assert len(model.graph.output) == 1


def test_columns_may_be_called_as_the_blocks_are():
    rows = pd.DataFrame({"texts": np.arange(20, dtype=np.float32), "numbers": pd.Series(["a", "b"] * 10, dtype=object)})
    steps = [("n", StandardScaler(), ["texts"]), ("t", OneHotEncoder(handle_unknown="ignore"), ["numbers"])]
    pipeline = make_pipeline(ColumnTransformer(steps), LogisticRegression()).fit(rows, np.arange(20) % 3 == 0)
    inputs = (Column("numbers", "text"), Column("texts", "number"))
    model = to_onnx(pipeline, Signature(inputs, "binary", (False, True)), list(rows.columns))
    got = run(model, numbers=rows[["texts"]].to_numpy(), texts=rows[["numbers"]].to_numpy())
    assert np.abs(got - pipeline.predict_proba(rows)).max() < 1e-6


@pytest.mark.parametrize("columns", [["distance"], ["carrier", "dest"]], ids=["numbers only", "texts only"])
def test_either_block_may_be_absent(tmp_path, columns):
    rows = frame()
    text = columns != ["distance"]
    step = OneHotEncoder(handle_unknown="ignore") if text else StandardScaler()
    pipeline = make_pipeline(ColumnTransformer([("all", step, columns)]), LogisticRegression(max_iter=300))
    pipeline.fit(rows[columns], target(rows, "binary"))
    inputs = tuple(Column(name, "text" if text else "number", nullable=text) for name in columns)
    model = to_onnx(pipeline, Signature(inputs, "binary", (0, 1)), columns)
    assert [i.name for i in model.graph.input] == ["texts" if text else "numbers"]


def test_columns_that_no_step_takes_are_left_out(tmp_path):
    rows = frame()
    steps = [("n", StandardScaler(), ["distance"])]
    pipeline = make_pipeline(ColumnTransformer(steps), LogisticRegression()).fit(rows, target(rows, "binary"))
    made = bundle(tmp_path, pipeline, rows=rows)
    assert made.manifest.candidates[0].exact, made.manifest.candidates


def test_a_remainder_passes_through(tmp_path):
    rows = frame()
    steps = [("t", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["carrier", "dest"])]
    trees = HistGradientBoostingClassifier(max_iter=5)
    pipeline = make_pipeline(ColumnTransformer(steps, remainder="passthrough"), trees).fit(rows, target(rows, "binary"))
    made = bundle(tmp_path, pipeline, rows=rows)
    assert made.manifest.runtime == "onnx", made.manifest.reason


@pytest.mark.parametrize("gap", [None, float("nan")], ids=["None", "NaN"])
def test_missing_texts_may_be_filled_in(tmp_path, gap):
    rows = frame(gap=gap)
    filled = make_pipeline(
        SimpleImputer(missing_values=gap, strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    made = bundle(tmp_path, fitted(LogisticRegression(max_iter=300), rows=rows, scale=True, encoder=filled), rows=rows)
    assert made.manifest.candidates[0].exact, made.manifest.candidates
    assert made.manifest.candidates[1].exact, made.manifest.candidates


def test_a_look_up_has_what_the_encoder_says_of_gaps_and_strangers():
    values = np.array([["a", "x"], ["b", None], ["a", "y"]], dtype=object)
    table = lookup(OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(values))
    assert table[0]["b"].tolist() == [0, 1]
    assert table[0][NULL].tolist() == [0, 0]
    assert table[1][NULL].tolist() == [0, 0, 1]
    assert table[1][UNSEEN].tolist() == [0, 0, 0]


def test_what_an_encoder_refuses_is_not_answered():
    values = np.array([["a"], ["b"]], dtype=object)
    assert np.isnan(lookup(OneHotEncoder(sparse_output=False).fit(values))[0][UNSEEN]).all()


def test_categories_that_are_not_texts_are_refused():
    with pytest.raises(TypeError, match="categories that are not texts"):
        lookup(OneHotEncoder().fit(np.array([[1], ["a"]], dtype=object)[:1]))


def test_words_in_free_text_are_no_categories(tmp_path):
    rows = frame()
    steps = [("words", TfidfVectorizer(analyzer="char"), "dest"), ("n", StandardScaler(), ["distance"])]
    pipeline = make_pipeline(ColumnTransformer(steps), LogisticRegression(max_iter=300)).fit(
        rows, target(rows, "binary")
    )
    made = bundle(tmp_path, pipeline, rows=rows)
    native = made.manifest.candidates[1]
    assert not native.exact
    assert "TfidfVectorizer may do more" in native.reason
