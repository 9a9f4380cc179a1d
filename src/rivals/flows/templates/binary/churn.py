"""Customers who stay or leave: replace this by your own rows."""

import numpy as np
import pandas as pd


def load(rows: int = 4000, seed: int = 0) -> pd.DataFrame:
    """One row a customer; `left` is what is to be told beforehand."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "customer": np.arange(rows),
            "seen": 1.7e9 + np.arange(rows) * 600.0,
            "months": rng.integers(1, 60, rows).astype(float),
            "spend": rng.gamma(2.0, 30.0, rows),
            "plan": rng.choice(["basic", "plus", "pro"], rows, p=[0.5, 0.3, 0.2]),
        }
    )
    risk = 0.5 - 0.05 * frame["months"] + 0.8 * (frame["plan"] == "basic") + 0.4 * np.sin(frame["spend"] / 20)
    frame["left"] = (rng.random(rows) < 1 / (1 + np.exp(-risk))).astype(int)
    frame.loc[rng.random(rows) < 0.05, "spend"] = np.nan
    return frame
