import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from rivals.build.additive import to_native
from rivals.bundles import NULL
from rivals.values import Signature
from tests.mixed import INPUTS, fitted, frame, signature


def test_shares_are_the_coefficients():
    rows = frame()
    pipeline = fitted(LinearRegression(), "regression", impute=True)
    native = to_native(pipeline, signature("regression"), rows)
    coefficients = pipeline[-1].coef_
    assert native.link == "identity"
    # Found by asking in float32's neighbourhood, so not to the last digit.
    assert np.allclose([native.slopes[n][0] for n in ("hour", "distance", "größe")], coefficients[:3], rtol=1e-4)
    table = native.tables["carrier"]
    categories = pipeline[0].named_transformers_["t"].categories_[0]
    known = [NULL if value is None else value for value in categories]
    shares = np.array([table[value][0] for value in known])
    assert np.allclose(shares - shares[0], coefficients[3 : 3 + len(known)] - coefficients[3], atol=1e-3)


def test_a_gap_that_the_model_refuses_has_no_share():
    rows = frame()[["distance"]]
    pipeline = LogisticRegression().fit(rows, rows["distance"] > 400)
    columns = tuple(c for c in INPUTS if c.name == "distance")
    native = to_native(pipeline, Signature(columns, "binary", (False, True)), rows)
    assert native.nulls == {}


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (RandomForestRegressor(2), "RandomForestRegressor is not a linear model"),
        (PoissonRegressor(), "PoissonRegressor does more than add up"),
    ],
)
def test_what_does_not_add_up_is_refused(estimator, reason):
    rows = frame()[["distance"]]
    columns = tuple(c for c in INPUTS if c.name == "distance")
    pipeline = make_pipeline(StandardScaler(), estimator).fit(rows, rows["distance"])
    with pytest.raises(TypeError, match=reason):
        to_native(pipeline, Signature(columns, "regression"), rows)


def test_steps_that_mix_columns_are_refused():
    rows = frame().fillna({"hour": 0})
    steps = ColumnTransformer([("p", PolynomialFeatures(), ["hour", "distance"])])
    pipeline = make_pipeline(steps, LinearRegression()).fit(rows, rows["hour"])
    with pytest.raises(TypeError, match="PolynomialFeatures may do more"):
        to_native(pipeline, signature("regression"), rows)
