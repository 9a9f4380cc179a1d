"""Every installed plug-in keeps the claims of its door: a new one is tested by being registered."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from rivals import plugins, testing
from rivals.protocols import Backend, Combiner, Detector, Family, Judge, Policy, Source, Step, Target, Tuner
from rivals.values import Use

HERE = Path(__file__).parent

# Options and settings of those that need some: anything else is made with none. A plug-in of yours that needs
# options stands here with them.
CASES: dict[tuple[type, str], dict[str, Any]] = {
    (Source, "function"): {"with": {"function": "rivals.testing:sample"}, "other": {"function": "rivals.testing:sample", "seed": 1}},
    (Source, "csv"): {"with": {"path": "rows.csv"}, "other": {"path": "more.csv"}},
    (Source, "parquet"): {"with": {"path": "rows.parquet"}, "other": {"path": "more.parquet"}},
    (Source, "sql"): {
        "with": {"path": "rows.db", "query": "SELECT * FROM rows"}, "other": {"path": "more.db", "query": "SELECT * FROM rows"},
    },
    (Step, "encode"): {"columns": ("color",)},
    (Step, "text"): {"columns": ("words", "color")},
    (Step, "embed"): {"columns": ("words",), "with": {"size": 3}},
    (Family, "pipeline"): {
        "with": {"estimator": {"use": "sklearn.linear_model:LinearRegression"}}, "tasks": ("regression",),
    },
    (Judge, "harm"): {"with": {"most": 20}},
    (Judge, "size"): {"with": {"max_kb": 100}},
    (Judge, "fixed"): {"with": {"blocks": 14}},
    (Step, "function"): {"with": {"function": "tests.build.toy:product"}, "served": False},
    (Family, "sklearn"): {"with": {"estimator": "LinearRegression"}, "tasks": ("regression",)},
    (Family, "lightgbm"): {"with": {"n_estimators": 10, "min_child_samples": 5}, "gaps": True},
    (Family, "xgboost"): {"with": {"n_estimators": 10}, "gaps": True},
    (Family, "catboost"): {"with": {"iterations": 10}, "gaps": True},
    (Family, "torch"): {"with": {"hidden": [8], "epochs": 3, "lr": 0.01}},
    (Family, "function"): {"with": {"function": "tests.build.toy:model"}},
    (Judge, "noninferior"): {"with": {"metric": "log_loss", "margin": 0.01}},
    (Combiner, "switch"): {
        "with": {"rules": [{"when": {"column": "vip", "is": 1}, "to": "two"}], "otherwise": "one"},
    },
    (Policy, "match"): {"with": {"rules": [{"when": {"column": "vip", "is": 1}, "to": "two"}]}},
    (Policy, "cheapest"): {"with": {"cost": {"one": 1, "two": 2}}},
    **{(Policy, name): {"with": {"variants": ["one", "two"]}} for name in ("thompson", "epsilon", "ucb", "hedge", "best")},
    (Policy, "linucb"): {"with": {"variants": ["one", "two"], "context": {"a": [0, 1]}}},
    (Judge, "reward"): {"with": {"low": 0, "high": 1, "margin": 0.1}},
}  # fmt: skip
# Fitted already, or the endpoint's own rows: tests/build/families/test_ready.py and tests/flows/test_exposures.py.
APART = {(Family, "ready"), (Source, "exposures")}
SLOW = {(Backend, "ray")}  # seconds to start, each time

CLASSES: dict[type, type] = {
    Source: testing.Sources, Step: testing.Steps, Family: testing.Families, Combiner: testing.Combiners,
    Policy: testing.Policies, Judge: testing.Judges, Backend: testing.Backends, Tuner: testing.Tuners,
    Target: testing.Targets, Detector: testing.Detectors,
}  # fmt: skip


def claims() -> list[Any]:
    """Every claim of every installed plug-in's door."""
    found = []
    for door, base in CLASSES.items():
        for name in plugins.names(door):
            if (door, name) not in APART:
                tests = [one for one in dir(base) if one.startswith("test_")]
                marks = [pytest.mark.slow] if (door, name) in SLOW else []
                found += [
                    pytest.param(door, name, one, id=f"{door.__name__.lower()}-{name}-{one[5:]}", marks=marks)
                    for one in tests
                ]
    return found


@pytest.fixture(scope="session", autouse=True)
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for name, seed in (("rows", 0), ("more", 1)):
        frame = testing.sample(seed=seed)
        frame.to_csv(folder / f"{name}.csv", index=False)
        frame.to_parquet(folder / f"{name}.parquet")
        with sqlite3.connect(folder / f"{name}.db") as connection:
            frame.to_sql("rows", connection, index=False)
        connection.close()
    return folder


@pytest.mark.parametrize(("door", "name", "claim"), claims())
def test_it_keeps_the_claims_of_its_door(
    door: type, name: str, claim: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    if (door, name) == (Family, "torch"):
        pytest.importorskip("torch", reason="MISSING PART: torch; make parts installs it")
        pytest.importorskip("skorch", reason="MISSING PART: skorch; make parts installs it")
    case = dict(CASES.get((door, name), {}))
    options, other = case.pop("with", {}), case.pop("other", None)

    def make(_: Any, *space: Any) -> Any:
        more = {"space": space[0], "seed": 3} if space else {}
        return plugins.make(door, Use(name, {**options, **more}))

    extra = {"other": lambda _: plugins.make(door, Use(name, other))} if other else {}
    getattr(type("Case", (CLASSES[door],), {"make": make, **extra, **case})(), claim)()


def test_every_door_has_a_class() -> None:
    from rivals.protocols import DOORS

    assert CLASSES.keys() == DOORS.keys()
