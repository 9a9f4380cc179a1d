"""Would the retrained one have been better these last weeks? Paired losses by block, on rows new to both.

The rows are those after the champion's own training. The champion answers them as it did; each new variant by models
of forward folds, fitted on earlier rows alone. So it is the recipe that is proven, on fewer rows than the challenger
itself has learned from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from rivals.statistics.eprocess import BlockBets, on_block
from rivals.values import Status, Verdict


def backtest(differences: Sequence[float], *, alpha: float = 0.05, margin: float = 0.0) -> Verdict:
    """PASS: proven better than the champion. FAIL: proven worse. INCONCLUSIVE: live traffic has to say.

    ``differences``: the mean loss difference of each block, challenger minus champion, in the order of time.
    """
    bets = BlockBets()
    for one in differences:
        bets = on_block(bets, one, margin)
    needed, blocks = math.log(1 / alpha), len(differences)
    better, worse = bets.better.highest, bets.worse.highest
    figures = {"better": better, "worse": worse, "blocks": float(blocks)}
    if not blocks:
        return Verdict("backtest", Status.INCONCLUSIVE, "no row is new to both the champion and a new variant", figures)
    figures["difference"] = bets.mean
    told = f"loss differs by {bets.mean:+.5f} over {blocks} blocks that neither had seen"
    if worse >= needed:
        return Verdict("backtest", Status.FAIL, f"the retrained one is worse: {told}", figures)
    if better >= needed:
        return Verdict("backtest", Status.PASS, f"the retrained one is better: {told}", figures)
    short = f"{told}: not decided (evidence {max(0.0, better):.1f} of {needed:.1f})"
    return Verdict("backtest", Status.INCONCLUSIVE, short, figures)
