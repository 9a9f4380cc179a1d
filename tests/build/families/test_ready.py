from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from rivals.build.families.ready import Ready, files
from rivals.errors import BuildError, SpecError
from rivals.plugins import make
from rivals.protocols import Family
from rivals.values import Use
from tests.build import toy
from tests.build.toy import HERE

ROWS = np.random.default_rng(0).normal(size=(200, 3))
TARGET = (ROWS[:, 0] > 0).astype(int)


@pytest.mark.parametrize(
    "model",
    [
        LogisticRegression(), RandomForestClassifier(5), HistGradientBoostingClassifier(max_iter=5),
        MLPClassifier([3], max_iter=500, tol=0.1), LGBMClassifier(n_estimators=5, verbosity=-1),
    ],
    ids=lambda model: type(model).__name__,
)  # fmt: skip
def test_a_skops_file_answers_as_what_was_kept(model: object, tmp_path: Path) -> None:
    pipeline = make_pipeline(StandardScaler(), model).fit(ROWS, TARGET)
    skops.io.dump(pipeline, tmp_path / "model.skops")
    again = make(Family, Use("ready", {"path": str(tmp_path / "model.skops")})).estimator("binary", 0)
    assert (again.predict_proba(ROWS) == pipeline.predict_proba(ROWS)).all()


def test_a_function_may_give_the_pipeline() -> None:
    assert Ready(f"{HERE}:pipeline").estimator("binary", 0).predict_proba(toy.load(5)[["a", "color"]]).shape == (5, 2)


@pytest.mark.parametrize(
    "flavors", ["{sklearn: {pickled_model: m.skops}}", "{python_function: {loader_module: rivals}}"]
)
def test_a_model_folder_is_opened(flavors: str, tmp_path: Path) -> None:
    name = "m.skops" if "sklearn" in flavors else "model.skops"
    skops.io.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / name)
    (tmp_path / "MLmodel").write_text(f"flavors: {flavors}\n")
    assert Ready(str(tmp_path)).estimator("binary", 0).n_features_in_ == 3


@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m.pickle"])
def test_a_pickle_is_refused_unopened(name: str, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str, ...]]:
            return Path.touch, (tmp_path / "opened",)  # type: ignore[return-value]

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(BuildError, match="is a pickle"):
        Ready(str(tmp_path / name)).estimator("binary", 0)
    assert not (tmp_path / "opened").exists()


def test_a_model_folder_with_a_pickle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"")
    (tmp_path / "MLmodel").write_text("flavors: {sklearn: {pickled_model: model.pkl}}\n")
    with pytest.raises(BuildError, match="is a pickle"):
        Ready(str(tmp_path)).estimator("binary", 0)


def test_a_file_outside_of_its_folder_is_refused(tmp_path: Path) -> None:
    skops.io.dump(LogisticRegression().fit(ROWS, TARGET), tmp_path / "m.skops")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {sklearn: {pickled_model: ../m.skops}}\n")
    with pytest.raises(BuildError, match="no scikit-learn model"):
        Ready(str(tmp_path / "model")).estimator("binary", 0)


def test_foreign_code_in_a_skops_file_is_not_opened(tmp_path: Path) -> None:
    pipeline = make_pipeline(FunctionTransformer(toy.words), LogisticRegression())
    pipeline[-1].fit(ROWS, TARGET)
    skops.io.dump(pipeline, tmp_path / "m.skops")
    with pytest.raises(BuildError, match=r"toy\.words.*not opened"):
        Ready(str(tmp_path / "m.skops")).estimator("binary", 0)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(b"PK no")
    with pytest.raises(BuildError, match=r"m\.skops cannot be opened"):
        Ready(str(tmp_path / "m.skops")).estimator("binary", 0)


def test_an_unfitted_model_is_refused() -> None:
    with pytest.raises(BuildError, match="LogisticRegression is not fitted"):
        Ready(f"{HERE}:unfitted").estimator("binary", 0)


def test_a_regressor_does_not_answer_a_binary_task(tmp_path: Path) -> None:
    skops.io.dump(LinearRegression().fit(ROWS, TARGET), tmp_path / "m.skops")
    with pytest.raises(BuildError, match="LinearRegression has no predict_proba"):
        Ready(str(tmp_path / "m.skops")).estimator("binary", 0)


def test_a_model_that_is_not_there_is_said_so() -> None:
    with pytest.raises(SpecError, match="no model at nowhere"):
        Ready("nowhere.skops").estimator("binary", 0)


def test_the_files_of_a_model_are_known(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("c", "b/a"):
        (tmp_path / name).touch()
    assert [file.relative_to(tmp_path).as_posix() for file in files(str(tmp_path))] == ["b/a", "c"]
    assert files(str(tmp_path / "c")) == [tmp_path / "c"]
    assert files(f"{HERE}:pipeline") == []
