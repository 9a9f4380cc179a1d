"""A year of flights in good hands: `rivals autopilot` with package defaults, from May to December of 2013.

The project has the three models of ``flights_year`` and their mean, which is the first champion; it is trained on
January to April. Whatever is not in the project file below is a default of the package; how these were chosen, without
a look at May to December, is in docs/decisions/0029. Asked: the mean of the months' log losses at most 0.490, with at
most 5 trainings (the first one counts); below every model left alone, by a bootstrap over days (upper end of 95 %
below 0); the eight months in under 10 minutes, trainings not counted. Exits 1 where one of them is missed.

    python benchmarks/autopilot_year.py [FOLDER]     where the project, its report and the answers are kept
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

import flights_year as year
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.flows.autopilot import autopilot, read_data
from rivals.flows.autopilot_report import report_of, write_report
from rivals.flows.train import train_project
from rivals.flows.verify import verify_ledger
from rivals.flows.workspace import open_workspace

ASKED, TRAININGS, SECONDS = 0.490, 5, 600.0
DRAWS = 2_000
PROJECT = """
project: flights
data:
  source: {use: function, with: {function: "flights_year:taught"}}
  task: binary
  target: late
  id: flight_id
  time: scheduled_departure
  label_delay: 1d
  split: {test: 0%, folds: 3, by: time}   # all of January to April is learned from, as the plain baselines do
features:
  plain:  [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: [carrier, origin, dest]}}]
  scaled: [{use: impute, with: {columns: numeric}}, {use: scale, with: {columns: numeric}}, {use: encode, with: {columns: [carrier, origin, dest]}}]
variants:
  - {name: logistic, features: scaled, family: sklearn, with: {estimator: LogisticRegression, max_iter: 500}}
  - {name: boosted-200, features: plain, family: lightgbm, with: {n_estimators: 200}}
  - {name: boosted-80, features: plain, family: lightgbm, with: {n_estimators: 80, num_leaves: 15, learning_rate: 0.05}}
  - {name: blend, family: ensemble, members: [logistic, boosted-200, boosted-80], with: {combiner: mean}}
endpoint: {name: flights, champion: blend}
"""

Floats = NDArray[np.float64]


def below(traffic: pd.DataFrame, ours: Floats, theirs: Floats) -> tuple[float, float]:
    """The difference of the months' mean log losses, and the upper end of its 95 % interval; days are drawn."""
    late = traffic["late"].to_numpy(float)
    gap = pd.Series(year.log_loss(late, ours) - year.log_loss(late, theirs))
    day = np.floor(traffic["scheduled_departure"].to_numpy(float) / 86_400.0)
    by_day = pd.DataFrame({"gap": gap, "rows": 1.0}).groupby([traffic["month"].to_numpy(), day]).sum()
    rng = np.random.default_rng(0)
    draws = np.zeros(DRAWS)
    months = sorted(set(traffic["month"]))
    for month in months:
        days = by_day.loc[month].to_numpy()
        drawn = days[rng.integers(len(days), size=(DRAWS, len(days)))].sum(axis=1)
        draws += drawn[:, 0] / drawn[:, 1] / len(months)
    whole = float(np.mean([gap[(traffic["month"] == month).to_numpy()].mean() for month in months]))
    return whole, float(np.quantile(draws, 0.975))


def main() -> int:
    """Fly, compare, print."""
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp(prefix="rivals-year-"))
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder / "rivals.yaml")
    began = time.perf_counter()
    train_project(workspace)
    print(f"built in {time.perf_counter() - began:.0f} s", flush=True)
    flown = autopilot(
        workspace, read_data(workspace, "flights_year:traffic"), due="label_due",
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
    frame = flown.stream.frame
    known = np.isfinite(flown.stream.target)
    traffic, ours, alone = frame[known].reset_index(drop=True), flown.served[known, 1], flown.alone[known, 1]
    np.savez_compressed(folder / "answers.npz", ours=ours, alone=alone, flight=traffic["flight_id"].to_numpy())
    write_report(report_of(flown), folder / "autopilot.html")
    months = year.monthly(traffic, ours)
    print(f"autopilot {months.mean():.4f}   " + " ".join(f"{one:.3f}" for one in months), flush=True)
    print(f"first champion left alone {year.monthly(traffic, alone).mean():.4f}")
    same, said = year.answers(("left alone",))
    assert (same["flight_id"].to_numpy() == traffic["flight_id"].to_numpy()).all()
    left = {name: said["left alone", name] for name in year.MODELS}
    left["their mean"] = np.mean(list(left.values()), axis=0)
    proven = True
    for name, theirs in left.items():
        gap, upper = below(traffic, ours, theirs)
        proven &= upper < 0
        print(f"against {name} left alone: {gap:+.4f}, at most {upper:+.4f}")
    spent = ", ".join(f"{what} {seconds:.0f}" for what, seconds in flown.cpu_seconds.items())
    print(f"{flown.trainings} trainings; {flown.seconds:.0f} s without them; CPU-seconds: {spent}")
    print(f"verified: {verify_ledger(flown.workspace)}")
    good = months.mean() <= ASKED and flown.trainings <= TRAININGS and proven and flown.seconds < SECONDS
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
