from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from rivals.spec.load import load

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "flights"


@pytest.fixture(scope="module")
def flights() -> ModuleType:
    sys.path.insert(0, str(FOLDER))
    try:
        return __import__("flights")
    finally:
        sys.path.remove(str(FOLDER))


def test_training_has_labelled_flights_of_its_months_alone(flights: ModuleType) -> None:
    rows = flights.load([1, 2, 3, 4])
    assert len(rows) == 30_000
    assert set(rows["late"]) == {0.0, 1.0}
    assert rows["scheduled_departure"].is_monotonic_increasing
    assert rows["scheduled_departure"].max() < np.datetime64("2013-05-01T04:00", "s").astype(float)
    assert rows.equals(flights.load([1, 2, 3, 4]))


def test_nothing_is_an_input_that_is_known_only_after_departure(flights: ModuleType) -> None:
    inputs = set(flights.load([1], rows=100)) - {"flight_id", "scheduled_departure", "late"}
    assert inputs == {*flights.NUMBERS, *flights.TEXTS}
    assert not inputs & {"dep_delay", "dep_time", "arr_delay", "arr_time", "air_time", "label_due", "month"}


def test_the_stream_is_every_flight_since_may_with_labels_when_they_are_due(flights: ModuleType) -> None:
    rows = flights.stream(5)
    assert rows["scheduled_departure"].is_monotonic_increasing
    assert rows["flight_id"].is_unique
    unlabelled = rows["late"].isna()
    assert (rows["label_due"].isna() == unlabelled).all()
    assert (rows["label_due"] > rows["scheduled_departure"])[~unlabelled].all()
    assert flights.stream(1)["late"].isna().sum() == 9_430


def test_clocks_of_new_york_become_utc_summer_and_winter(flights: ModuleType) -> None:
    raw = flights.read("flights.csv.zip")
    hours = np.array(raw["time_hour"].str.rstrip("Z"), dtype="datetime64[s]").astype(float)
    assert (flights.scheduled(raw) == hours + 60 * raw["minute"]).all()


def test_what_later_flights_miss_training_missed_too(flights: ModuleType) -> None:
    train, later = flights.load([1, 2, 3, 4]), flights.stream(5)
    inputs = [*flights.NUMBERS, *flights.TEXTS]
    gaps = {name for name in inputs if later[name].isna().any()}
    assert gaps <= {name for name in inputs if train[name].isna().any()}


def test_the_project_file_is_one(flights: ModuleType) -> None:
    spec = load(FOLDER / "rivals.yaml")
    assert {variant.name for variant in spec.variants} >= {
        "logistic",
        "boosted",
        "network",
        "forest",
        "blend",
        "legacy",
    }
    assert spec.endpoint is not None
    assert spec.endpoint.champion == "legacy"


def test_sabotage_is_worse_than_nothing(flights: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "STATE", tmp_path)
    rows = flights.load([4])
    late = rows["late"].to_numpy()
    inputs = rows.astype({**dict.fromkeys(flights.NUMBERS, "float32"), **dict.fromkeys(flights.TEXTS, object)})
    legacy, sabotaged = (made().predict_proba(inputs)[:, 1] for made in (flights.legacy, flights.sabotaged))
    assert np.mean((legacy - late) ** 2) < late.var() * 1.1 < np.mean((sabotaged - late) ** 2)
    assert (flights.legacy().predict_proba(inputs)[:, 1] == legacy).all()
    assert {file.name for file in tmp_path.iterdir()} == {"legacy.skops", "sabotaged.skops"}
