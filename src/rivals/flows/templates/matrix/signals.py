"""Hourly signals: the last `months` before one and the same day."""

import numpy as np
import pandas as pd

HOURS = 30 * 24


def load(months: int = 3, longest: int = 6) -> pd.DataFrame:
    """One row an hour; more months begin earlier and end at the same hour."""
    rng = np.random.default_rng(0)
    rows = longest * HOURS
    frame = pd.DataFrame({"row": np.arange(rows), "t": 1.7e9 + np.arange(rows) * 3600.0})
    frame["a"], frame["b"], frame["c"] = rng.normal(size=(3, rows))
    frame["up"] = (rng.random(rows) < 1 / (1 + np.exp(-frame["a"] + 0.5 * frame["b"] * frame["c"]))).astype(int)
    return frame.tail(months * HOURS)
