"""A thousand incidents, and what attribution makes of them: retrain, roll back, or touch no model.

Half are generated: eight worlds with a known chance for every row. Half are real days of 2013 out of New York, drawn
again and again: days of one half of the year's days, models fitted on others, so that nothing changes but what an
incident changes. Each is ``QUIET`` days as usual, then ``DAYS`` days of the incident; two variants answer every row.
The answer is the first remedy that is not "ignore"; one that comes before the incident is wrong whatever it is.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from rivals.build.reference import number, text
from rivals.decide.attribution import Bounds, attribute
from rivals.observe.detectors.adwin import Adwin
from rivals.observe.detectors.edetector import Edetector
from rivals.observe.detectors.psi import Psi
from rivals.observe.detectors.unseen import Unseen
from rivals.observe.looking import AlarmBudget, look
from rivals.observe.outcomes import LOSSES
from rivals.observe.quality import Judged, advance, block, promised, quality
from rivals.protocols import Window
from rivals.statistics.performance import of_labels
from rivals.usual import Held
from rivals.values import Remedy

DAY = 86_400.0
QUIET, DAYS = 25, 25
DETECTORS = {"edetector": Edetector(), "adwin": Adwin(), "psi": Psi(), "unseen": Unseen()}
KINDS = {
    "input shift": Remedy.IGNORE,
    "concept shift": Remedy.RETRAIN,
    "label-prior shift": Remedy.RETRAIN,
    "one bad variant": Remedy.ROLL_BACK,
    "label delay": Remedy.IGNORE,
    "broken feature": Remedy.IGNORE,
}
Rng = np.random.Generator


@dataclass
class World:
    """Rows of days as usual, two variants fitted on other rows, and what is known of them."""

    name: str
    numbers: list[str]
    texts: list[str]
    day: Callable[[Rng], pd.DataFrame]  # a day's rows; "y" is what happened
    models: dict[str, object]
    sketches: dict[str, object]
    judged: dict[str, Judged]
    scores: dict[str, object]

    @property
    def columns(self) -> list[str]:
        return self.numbers + self.texts


def world(name: str, train: pd.DataFrame, held: pd.DataFrame, numbers: list[str], texts: list[str],
          days: list[pd.DataFrame]) -> World:  # fmt: skip
    def steps() -> ColumnTransformer:
        return ColumnTransformer([
            ("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("t", OneHotEncoder(handle_unknown="ignore", min_frequency=20), texts),
        ])  # fmt: skip

    models = {
        "logistic": make_pipeline(steps(), LogisticRegression(C=0.1, max_iter=300)),
        "boosted": make_pipeline(steps(), LGBMClassifier(n_estimators=60, num_leaves=7, verbose=-1, n_jobs=1)),
    }
    judged, scores = {}, {}
    for title, model in models.items():
        model.fit(train[numbers + texts], train["y"])
        said, y = answers(model, held[numbers + texts]), held["y"].to_numpy()
        loss = number(LOSSES["brier"](y.astype(float), said, 1.0))
        judged[title] = Judged("brier", (0, 1), Held(len(held), {"brier": loss}, of_labels(said, y)))
        scores[title] = number(said[:, 1])
    sketches = {column: number(train[column].to_numpy(float)) for column in numbers}
    sketches |= {column: text(train[column]) for column in texts}
    made = World(name, numbers, texts, lambda rng: days[rng.integers(len(days))], models, sketches, judged, scores)
    for one in days:  # what is asked again and again is answered once
        one[list(models)] = np.column_stack([answers(model, one[numbers + texts])[:, 1] for model in models.values()])
    return made


def answers(model: object, rows: pd.DataFrame) -> np.ndarray:
    names = getattr(model[-1], "feature_name_", None)
    block = model[0].transform(rows)
    block = block.toarray() if hasattr(block, "toarray") else block
    return np.asarray(model[-1].predict_proba(pd.DataFrame(block, columns=names) if names else block), float)


# -- worlds -------------------------------------------------------------------------------------------


def generated(seed: int, rows: int = 400) -> World:
    """Five numbers and a text; days differ a little, in what is asked and in what happens."""
    rng = np.random.default_rng(seed)
    weights, mixed = rng.normal(0, 0.8, 5), rng.normal(0, 0.4)
    levels = dict(zip("abcdef", rng.normal(0, 0.6, 6), strict=True))
    shares = rng.dirichlet(np.full(6, 5.0))
    mixing = np.eye(5) + rng.normal(0, 0.25, (5, 5))

    def chance(frame: pd.DataFrame) -> np.ndarray:
        x = frame[[f"x{i}" for i in range(5)]].fillna(0.0).to_numpy()
        logit = x @ weights + mixed * x[:, 0] * x[:, 1] + frame["c"].map(levels).fillna(0.0).to_numpy() - 0.5
        return 1 / (1 + np.exp(-logit))

    def day(rng: Rng) -> pd.DataFrame:
        many = rows
        x = rng.normal(0, 1, (many, 5)) @ mixing + rng.normal(0, 0.08, 5)
        frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(5)])
        frame["c"] = rng.choice(list(levels), many, p=shares)
        frame.loc[rng.random(many) < 0.05, "x4"] = np.nan
        logit = np.log(1 / (1 / chance(frame) - 1)) + rng.normal(0, 0.15)
        frame["y"] = (rng.random(many) < 1 / (1 + np.exp(-logit))).astype(int)
        return frame

    train = pd.concat([day(rng) for _ in range(20)], ignore_index=True)
    held = pd.concat([day(rng) for _ in range(15)], ignore_index=True)
    return world(f"generated {seed}", train, held, [f"x{i}" for i in range(5)], ["c"], [day(rng) for _ in range(150)])


def flights(rows: int = 500) -> World:
    """Real days: two in five fit the models, one in five says how good they are, the others are drawn as traffic."""
    spec = importlib.util.spec_from_file_location(
        "flights", Path(__file__).resolve().parents[1] / "examples/flights/flights.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["flights"] = module
    spec.loader.exec_module(module)
    table = module.table()
    table = table[table["late"].notna()].copy()
    table["y"] = table["late"].astype(int)
    numbers = ["hour", "minute", "weekday", "distance", "humid", "wind_speed", "precip", "pressure", "visib", "seats"]
    texts = ["carrier", "origin", "dest"]
    for column in texts:
        table[column] = table[column].astype(object).where(table[column].notna(), None)
    days = (table["scheduled_departure"] // DAY).astype(int) if table["scheduled_departure"].dtype != "O" else None
    if days is None:
        days = pd.to_datetime(table["scheduled_departure"]).dt.floor("D").astype("int64")
    pool = [one for _, one in table[[*numbers, *texts, "y"]].groupby(days.to_numpy()) if len(one) > 600]
    order = np.random.default_rng(0).permutation(len(pool))
    part = [order[: len(pool) * 2 // 5], order[len(pool) * 2 // 5 : len(pool) * 3 // 5], order[len(pool) * 3 // 5 :]]
    train, held = (pd.concat([pool[i] for i in some], ignore_index=True) for some in part[:2])
    some = np.random.default_rng(1)
    live = [pool[i].iloc[np.sort(some.permutation(len(pool[i]))[:rows])].reset_index(drop=True) for i in part[2]]
    return world("flights", train, held, numbers, texts, live)


# -- incidents ----------------------------------------------------------------------------------------


@dataclass
class Incident:
    """What happens from its first day on: to rows and labels before they are asked, to answers, to labels."""

    kind: str
    rows: Callable[[pd.DataFrame, Rng], pd.DataFrame] = lambda frame, _: frame
    said: Callable[[str, np.ndarray, Rng], np.ndarray] = lambda _, outputs, __: outputs
    labels: Callable[[np.ndarray, Rng], list] = lambda y, _: y.tolist()


def drawn(kind: str, where: World, rng: Rng) -> Incident:
    """An incident of that kind."""
    column = where.numbers[rng.integers(len(where.numbers))]
    if kind == "input shift":
        return (
            Incident(kind, lambda frame, rng: _shifted(frame, column, toward, rng))
            if (toward := rng.choice([-1, 1]))
            else None
        )
    if kind == "concept shift":
        return _concept(column, rng)
    if kind == "label-prior shift":
        odds = rng.choice([1 / 4, 4.0])
        return Incident(kind, lambda frame, rng: _weighted(frame, np.where(frame["y"] == 1, odds, 1.0), rng))
    if kind == "one bad variant":
        return _bad(rng)
    if kind == "label delay":
        share = rng.uniform(0.0, 0.3)

        def late(y: np.ndarray, rng: Rng) -> list:
            came = rng.random(len(y)) < np.where(y == 1, share / 2, share)  # bad news comes later
            return [int(one) if here else None for one, here in zip(y, came, strict=True)]

        return Incident(kind, labels=late)
    return _broken(where, column, rng)


def _weighted(frame: pd.DataFrame, weight: np.ndarray, rng: Rng) -> pd.DataFrame:
    return frame.iloc[rng.choice(len(frame), len(frame), p=weight / weight.sum())].reset_index(drop=True)


def _shifted(frame: pd.DataFrame, column: str, toward: int, rng: Rng) -> pd.DataFrame:
    """Other rows are asked; what happens, given a row, stays: the higher or the lower values come four times as often."""
    rank = frame[column].rank(pct=True).fillna(0.5).to_numpy()
    return _weighted(frame, np.exp(toward * 2.8 * (rank - 0.5)), rng)


def _concept(column: str, rng: Rng) -> Incident:
    """The same rows are asked, and other things happen: to some of them, much more or much less often."""
    cut, above, to = rng.uniform(0.3, 0.7), rng.random() < 0.5, int(rng.random() < 0.5)
    much = rng.uniform(0.5, 0.8)

    def rows(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
        rank = frame[column].rank(pct=True).fillna(0.5).to_numpy()
        hit = ((rank > cut) if above else (rank <= cut)) & (rng.random(len(frame)) < much)
        y = frame["y"].to_numpy()
        return frame.assign(y=np.where(hit, to or 1 - y, y))

    return Incident("concept shift", rows)


def _bad(rng: Rng) -> Incident:
    """One variant's answers go wrong, as those of a bad build, a stale cache or a mixed-up column do."""
    who, way = rng.choice(["logistic", "boosted"]), rng.choice(["noise", "inverted", "constant", "shifted"])
    much = rng.uniform(0.25, 0.4) * rng.choice([-1, 1])

    def said(name: str, outputs: np.ndarray, rng: Rng) -> np.ndarray:
        if name != who:
            return outputs
        p = outputs[:, 1]
        p = {
            "noise": lambda: p[rng.permutation(len(p))],
            "inverted": lambda: 1 - p,
            "constant": lambda: np.full(len(p), 0.5 + much),
            "shifted": lambda: p + much,
        }[way]().clip(0.001, 0.999)
        return np.column_stack([1 - p, p])

    return Incident("one bad variant", said=said)


def _broken(where: World, column: str, rng: Rng) -> Incident:
    """A column comes empty, stuck, in another unit, or with words nobody knows."""
    if where.texts and rng.random() < 0.3:
        name, ways = where.texts[rng.integers(len(where.texts))], ["strange", "gone"]
    else:
        name, ways = column, ["gone", "stuck", "unit", "sentinel"]
    way, share = rng.choice(ways), rng.uniform(0.6, 1.0)

    def rows(frame: pd.DataFrame, rng: Rng) -> pd.DataFrame:
        hit, values = rng.random(len(frame)) < share, frame[name]
        if way == "strange":
            return frame.assign(**{name: values.where(~hit, "???")})
        if way == "gone":
            return frame.assign(**{name: values.where(~hit, None)})
        if way == "unit":
            return frame.assign(**{name: values.astype(float) * 1_000 + 1})
        constant = float(values.mode().iloc[0]) if way == "stuck" else -9_999.0
        return frame.assign(**{name: values.astype(float).where(~hit, constant)})

    return Incident("broken feature", rows)


# -- what is made of them -----------------------------------------------------------------------------


def run(where: World, incident: Incident, rng: Rng) -> tuple[Remedy, str, int]:
    """The remedy, its reason, and the day of the incident it came on (-1: before it, DAYS: never)."""
    memory, records = {}, {}
    budget = AlarmBudget(1.0, 30.0)
    for number_of_day in range(QUIET + DAYS):
        under = number_of_day >= QUIET
        frame = where.day(rng)
        frame = incident.rows(frame, rng) if under else frame
        start = number_of_day * DAY
        times = start + np.sort(rng.random(len(frame))) * DAY
        if under and incident.kind == "broken feature":
            said = {name: answers(model, frame[where.columns]) for name, model in where.models.items()}
        else:
            said = {name: np.column_stack([1 - frame[name], frame[name]]) for name in where.models}
        if under:
            said = {name: incident.said(name, outputs, rng) for name, outputs in said.items()}
        labels = incident.labels(frame["y"].to_numpy(), rng) if under else frame["y"].tolist()
        watched = [
            (where.sketches[one], Window(one, start, start + DAY, times, _values(frame[one], one in where.texts)))
            for one in where.columns
        ]
        watched += [
            (where.scores[name], Window(f"{name}: score 1", start, start + DAY, times, outputs[:, 1], "score", name))
            for name, outputs in said.items()
        ]
        records = advance(
            records,
            {name: block(where.judged[name], outputs, labels, start, start + DAY) for name, outputs in said.items()},
            where.judged,
        )
        foreseen = [promised(name, records[name], where.judged[name]) for name in said]
        findings, memory = look(watched, DETECTORS, memory, budget, [one for one in foreseen if one])
        judged = [quality(name, records[name], where.judged[name]) for name in said]
        cause = attribute(findings, judged, Bounds(proof=budget.proof(3 * len(judged))))
        if cause.remedy is not Remedy.IGNORE:
            return cause.remedy, cause.reason, number_of_day - QUIET if under else -1
    return Remedy.IGNORE, cause.reason, DAYS


def _values(column: pd.Series, is_text: bool) -> np.ndarray:
    if is_text:
        return column.astype(object).where(column.notna(), None).to_numpy()
    return column.to_numpy(float)


def tried(
    many: int, seed: int = 0, worlds: int = 8, say: Callable[[str], None] = print,
    kept: Path | None = None, seconds: float = math.inf,
) -> dict[str, Counter]:  # fmt: skip
    """So many incidents, the kinds and the worlds in turn; the confusion table, and days to the right answer.

    Each answer is a line of the file ``kept``; those that stand there are not tried again, and after so many
    ``seconds`` no other is begun.
    """
    places: Sequence[World] = [generated(i) for i in range(worlds)]
    real = flights()
    known = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    done = {one["index"]: one for one in known if one["seed"] == seed}
    until = time.monotonic() + seconds
    table: dict[str, Counter] = {f"{half}: {kind}": Counter() for half in ("generated", "flights") for kind in KINDS}
    delays: list[int] = []
    for index in range(many):
        kind = list(KINDS)[index // 2 % len(KINDS)]
        if index not in done:
            if time.monotonic() >= until:
                break
            where = places[index // 2 // len(KINDS) % len(places)] if index % 2 == 0 else real
            rng = np.random.default_rng([seed, index])
            remedy, reason, day = run(where, drawn(kind, where, rng), rng)
            answer = remedy.value if day >= 0 else "too early"
            done[index] = {"seed": seed, "index": index, "answer": answer, "day": day}
            if kept:
                with kept.open("a") as stream:
                    stream.write(json.dumps(done[index]) + "\n")
            if answer != KINDS[kind].value:
                say(f"  {where.name}, {kind}: {answer} on day {day}: {reason}")
        answer, day = done[index]["answer"], done[index]["day"]
        table[f"{'generated' if index % 2 == 0 else 'flights'}: {kind}"][answer] += 1
        if answer == KINDS[kind].value and KINDS[kind] is not Remedy.IGNORE:
            delays.append(day + 1)
    table["days to a right remedy"] = Counter({"median": int(np.median(delays))} if delays else {})
    return table


def right(table: dict[str, Counter]) -> float:
    """The share of right answers."""
    hits = sum(found[KINDS[name.partition(": ")[2]].value] for name, found in table.items() if ": " in name)
    return hits / sum(found.total() for name, found in table.items() if ": " in name)


def shown(table: dict[str, Counter]) -> str:
    heads = ["retrain", "roll_back", "ignore", "too early"]
    lines = [f"{'incident':<32}{'right answer':<14}" + "".join(f"{head:>11}" for head in heads)]
    for name, found in table.items():
        if ": " in name:
            truth = KINDS[name.partition(": ")[2]].value
            lines.append(f"{name:<32}{truth:<14}" + "".join(f"{found[head]:>11}" for head in heads))
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--incidents", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="do not tell each wrong answer")
    parser.add_argument("--keep", type=Path, help="a file of answers: what stands there is not tried again")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin none after so many")
    asked = parser.parse_args()
    say = (lambda _: None) if asked.quiet else print
    table = tried(asked.incidents, asked.seed, say=say, kept=asked.keep, seconds=asked.seconds)
    print(shown(table))
    tried_so_far = sum(found.total() for name, found in table.items() if ": " in name)
    print(
        f"right: {right(table):.1%} of {tried_so_far}; median days to a right remedy: {table['days to a right remedy']['median']}"
    )
    sys.exit(right(table) < 0.9)


if __name__ == "__main__":
    main()
