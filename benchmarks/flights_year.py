"""Flights of 2013, month after month: what models are worth that nobody looks after, and what plain retraining gains.

Three models (logistic regression; LightGBM of 200 trees; LightGBM of 80 trees with 15 leaves at rate 0.05) on distance,
hour, minute, weekday, six weather columns, plane year and seats, carrier, origin and destination. They are fitted on
January to April; May to December is the traffic. Figures are means of the eight months' log losses.

- left alone: fitted once;
- retrained monthly on the last three months, or on everything so far, always before the month begins;
- hindsight: the best of all nine in each month, which nobody can know beforehand.

Exits 1 where a figure is more than 0.003 from that which this project is measured against.
"""

from __future__ import annotations

import sys
import time
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples" / "flights"))

import flights as source  # the example's own module, beside its project file

FIRST, LAST = 5, 12  # months of traffic
RECENT = 3  # months
NEAR = 0.003
WEATHER = ["temp", "humid", "wind_speed", "precip", "pressure", "visib"]
NUMBERS = ["hour", "minute", "weekday", "distance", *WEATHER, "plane_year", "seats"]
TEXTS = ["carrier", "origin", "dest"]
MODELS = ("logistic", "boosted 200", "boosted 80")
WAYS = ("left alone", "last three months", "everything so far")
KNOWN = {
    ("left alone", "logistic"): 0.507,
    ("left alone", "boosted 200"): 0.512,
    ("left alone", "boosted 80"): 0.501,
    ("left alone", "mean"): 0.496,
    ("last three months", "logistic"): 0.505,
    ("last three months", "boosted 200"): 0.498,
    ("last three months", "boosted 80"): 0.493,
    ("everything so far", "logistic"): 0.500,
    ("everything so far", "boosted 200"): 0.489,
    ("everything so far", "boosted 80"): 0.489,
    ("all nine", "best in hindsight"): 0.484,
    ("all nine", "mean"): 0.484,
}
Floats = NDArray[np.float64]


@cache
def flights() -> pd.DataFrame:
    """Every flight of the year in the order of time, with six weather columns; ``late`` is NaN where nobody knows."""
    source.WEATHER[:], source.NUMBERS[:] = WEATHER, NUMBERS
    source.table.cache_clear()
    return source.table()


def model(name: str) -> Pipeline:
    """One of the three, not fitted."""
    numbers = [SimpleImputer(strategy="median"), *([StandardScaler()] if name == "logistic" else [])]
    columns = ColumnTransformer(
        [("numbers", make_pipeline(*numbers), NUMBERS), ("texts", OneHotEncoder(handle_unknown="ignore"), TEXTS)]
    )
    few = {"n_estimators": 80, "num_leaves": 15, "learning_rate": 0.05}
    options = {"n_estimators": 200} if name == "boosted 200" else few
    last = LogisticRegression(max_iter=500) if name == "logistic" else LGBMClassifier(verbose=-1, n_jobs=2, **options)
    return Pipeline([("columns", columns), ("model", last)])


def log_loss(late: Floats, probability: Floats) -> Floats:
    """Of each row, in nats."""
    kept = np.clip(probability, 1e-15, 1 - 1e-15)
    return -np.log(np.where(late == 1, kept, 1 - kept))


def taught() -> pd.DataFrame:
    """The labelled flights of January to April, as a source of a project."""
    known = flights().dropna(subset=["late"])
    return known[known["month"] < FIRST].drop(columns=["month", "label_due"]).reset_index(drop=True)


def traffic() -> pd.DataFrame:
    """All flights from May on, labelled or not."""
    found = flights()
    return found[found["month"] >= FIRST].reset_index(drop=True)


def answers(ways: tuple[str, ...] = WAYS) -> tuple[pd.DataFrame, dict[tuple[str, str], Floats]]:
    """The labelled flights of the traffic, and what each model says of them in each of the three ways."""
    known = flights().dropna(subset=["late"]).reset_index(drop=True)
    traffic = known[known["month"] >= FIRST].reset_index(drop=True)
    said = {(way, name): np.full(len(traffic), np.nan) for way in ways for name in MODELS}
    for name in MODELS:
        for month in range(FIRST, LAST + 1):
            here = (traffic["month"] == month).to_numpy()
            for way, first, last in (
                ("left alone", 1, FIRST - 1), ("last three months", month - RECENT, month - 1),
                ("everything so far", 1, month - 1),
            ):  # fmt: skip
                if way not in ways:
                    continue
                fitted = _fitted(name, first, last)
                said[way, name][here] = fitted.predict_proba(traffic.loc[here, NUMBERS + TEXTS])[:, 1]
    return traffic, said


@cache
def _fitted(name: str, first: int, last: int) -> Pipeline:
    known = flights().dropna(subset=["late"])
    rows = known[known["month"].between(first, last)]
    return model(name).fit(rows[NUMBERS + TEXTS], rows["late"].astype(int))


def monthly(traffic: pd.DataFrame, probability: Floats) -> pd.Series:
    """The log loss of each month."""
    losses = pd.Series(log_loss(traffic["late"].to_numpy(float), probability))
    return losses.groupby(traffic["month"].to_numpy()).mean()


def baselines(traffic: pd.DataFrame, said: dict[tuple[str, str], Floats]) -> dict[tuple[str, str], pd.Series]:
    """Log loss by month, of everything the project is measured against."""
    found = {key: monthly(traffic, one) for key, one in said.items()}
    for way in WAYS:
        found[way, "mean"] = monthly(traffic, np.mean([said[way, name] for name in MODELS], axis=0))
    single = pd.DataFrame({key: found[key] for key in said})
    found["all nine", "best in hindsight"] = single.min(axis=1)
    found["all nine", "mean"] = monthly(traffic, np.mean(list(said.values()), axis=0))
    return found


def main() -> int:
    """Print every baseline beside what it was measured as before."""
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    began = time.perf_counter()
    found = baselines(*answers())
    worst = 0.0
    for (way, name), months in found.items():
        before = KNOWN.get((way, name))
        off = abs(months.mean() - before) if before else 0.0
        worst = max(worst, off)
        told = f"{before:.3f}" if before else "     "
        print(f"{way:>18} {name:<18} {months.mean():.4f}  {told}   " + " ".join(f"{one:.3f}" for one in months))
    print(f"farthest from what was known: {worst:.4f}, {NEAR} is allowed; {time.perf_counter() - began:.0f} s")
    return 0 if worst <= NEAR else 1


if __name__ == "__main__":
    sys.exit(main())
