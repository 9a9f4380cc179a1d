"""Detectors: false alarms, delays and what they cost; and 200 stationary columns of a million rows, which must be quiet.

``--only cost`` and ``--only table`` are quick; ``--only quiet`` takes minutes.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import pandas as pd

from rivals import plugins
from rivals.build.reference import number, text
from rivals.observe.looking import AlarmBudget, look
from rivals.protocols import DOORS, Detector, Window
from rivals.statistics import adwin
from rivals.statistics.edetector import alarms
from rivals.usual import NumberSketch, TextSketch
from rivals.values import Use

DEFAULT = ("edetector", "adwin", "psi", "unseen")
ARL, LOOK = 20_000.0, 10_000
KINDS = ("normal", "lognormal", "count", "gaps", "text")


def drawn(kind: str, rows: int, rng: np.random.Generator) -> np.ndarray:
    if kind == "text":
        return rng.choice(np.array([*"abcdefgh"], object), rows, p=[0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.04, 0.01])
    if kind == "count":
        return rng.poisson(3.0, rows).astype(float)
    values = rng.lognormal(size=rows) if kind == "lognormal" else rng.normal(size=rows)
    if kind == "gaps":
        values[rng.random(rows) < 0.05] = np.nan
    return values


def sketched(kind: str, rng: np.random.Generator, rows: int = 20_000) -> NumberSketch | TextSketch:
    values = drawn(kind, rows, rng)
    return text(pd.Series(values)) if kind == "text" else number(values)


def table() -> bool:
    """Bernoulli events at 0.1, then at 0.2."""
    rng = np.random.default_rng(1)
    quiet = (rng.random(1_000_000) < 0.1).astype(float)
    false = len(alarms(quiet, 0.1, ARL)) / 10
    delays = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        values = np.concatenate([rng.random(5_000) < 0.1, rng.random(1_000) < 0.2]).astype(float)
        delays.append(next((at - 5_000 for at in alarms(values, 0.1, ARL) if at >= 5_000), 1_000))
    print(
        f"e-detector, ARL 20,000, limit 0.10: {false:.1f} false alarms per 100,000, median delay {np.median(delays):.0f}"
    )
    ok = false <= 5.5 and np.median(delays) <= 150
    for delta in (0.002, 1e-5):
        cuts = adwin.advance(adwin.Adwin(), quiet, delta)[1].cuts / 10
        late = [_adwin_delay(np.random.default_rng(seed), delta) for seed in range(100)]
        found = np.mean(np.array(late) < 5_000)
        print(
            f"ADWIN, delta {delta:g}: {cuts:.1f} false alarms per 100,000, found {found:.0%}, median delay {np.median(late):.0f}"
        )
        ok &= cuts == 0 and found == 1
    return bool(ok)


def _adwin_delay(rng: np.random.Generator, delta: float) -> int:
    state, _ = adwin.advance(adwin.Adwin(), (rng.random(5_000) < 0.1).astype(float), delta)
    later = (rng.random(5_000) < 0.2).astype(float)
    for start in range(0, 5_000, 32):
        state, seen = adwin.advance(state, later[start : start + 32], delta)
        if seen.cuts:
            return start + 32
    return 5_000


def cost() -> bool:
    """Microseconds of this process for each event and column, by detector, and of the default ones together."""
    rng, spent = np.random.default_rng(0), dict.fromkeys([*plugins.names(Detector), "default ones together"], 0.0)
    windows = []
    for kind in KINDS:
        reference = sketched(kind, rng)
        windows.append((reference, Window(kind, 0.0, 1.0, np.arange(float(LOOK)), drawn(kind, LOOK, rng))))
    for name in spent:
        used = {
            one: plugins.make(Detector, Use(one))
            for one in (DEFAULT if name not in plugins.names(Detector) else [name])
        }
        times = []
        for _ in range(7):
            memory, started = {}, time.process_time()
            for _ in range(4):
                _, memory = look(windows, used, memory, AlarmBudget())
            times.append((time.process_time() - started) / (4 * len(windows) * LOOK) * 1e6)
        spent[name] = min(times)
    for name, micros in spent.items():
        print(f"{name:<24}{micros:>8.3f} us per event and column")
    assert set(spent) > set(DEFAULT), DOORS
    return spent["default ones together"] < 2.0


def quiet(columns: int, rows: int) -> bool:
    """Columns that never change, in looks of 10,000 rows, under a budget of one false alarm in all of them."""
    detectors = {name: plugins.make(Detector, Use(name)) for name in DEFAULT}
    looks, raised, strongest = rows // LOOK, 0, 0.0
    rngs = [np.random.default_rng([7, column]) for column in range(columns)]
    kinds = [KINDS[column % len(KINDS)] for column in range(columns)]
    sketches = [sketched(kind, rng) for kind, rng in zip(kinds, rngs, strict=True)]
    memory = {}
    for at in range(looks):
        times = np.arange(at * LOOK, (at + 1) * LOOK, dtype=np.float64)
        seen = [
            (sketch, Window(f"{kind} {i}", times[0], times[-1] + 1, times, drawn(kind, LOOK, rng)))
            for i, (kind, rng, sketch) in enumerate(zip(kinds, rngs, sketches, strict=True))
        ]
        findings, memory = look(seen, detectors, memory, AlarmBudget(1.0, float(looks)))
        raised += sum(one.drifted for one in findings)
        strongest = max([strongest, *(one.effect for one in findings)])
        if at % 10 == 9:
            print(f"  {at + 1} looks of {columns} columns: {raised} alarms, largest effect {strongest:.2f}", flush=True)
    print(f"{columns} stationary columns of {rows:,} rows: {raised} alarms in all")
    return raised <= 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=["table", "cost", "quiet"])
    parser.add_argument("--columns", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1_000_000)
    asked = parser.parse_args()
    parts = {"table": table, "cost": cost, "quiet": lambda: quiet(asked.columns, asked.rows)}
    good = [part() for name, part in parts.items() if asked.only in {None, name}]
    sys.exit(not all(good))


if __name__ == "__main__":
    main()
