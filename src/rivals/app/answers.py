"""What `rivals compare` says, as text for people."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from rivals.app.show import columns, leaderboard_table

if TYPE_CHECKING:
    from rivals.decide.compare import Leaderboard
    from rivals.decide.slicing import Slice
    from rivals.flows.asked import Answered


def document(found: Answered) -> dict[str, Any]:
    """The leaderboard as JSON has it, with the rest of the answer beside its own keys."""
    whole: dict[str, Any] = msgspec.to_builtins(found)
    return {**whole.pop("board"), **whole}


def answered_text(found: Answered) -> str:
    """The leaderboard, whom to take and why, what the best is worth, the front, the slices."""
    board = found.board
    parts = [leaderboard_table(board), f"Take {board.recommended}: {board.reason}"]
    if board.honest is not None:
        parts.append(honest_text(board))
    parts.append(f"Nothing beats in score, time and size at once: {', '.join(found.front)}.")
    if found.thresholds:
        parts.append("Best threshold: " + ", ".join(f"{name} {at:.3f}" for name, at in found.thresholds.items()))
    if found.slices:
        parts.append(slices_table(found.slices, board.metric))
    return "\n".join(parts)


def honest_text(board: Leaderboard) -> str:
    """What the best one is worth, without the luck of being the best."""
    won = board.honest
    assert won is not None
    return (
        f"Expect {board.metric} {won.estimate:.5f} of {won.variant} on as many new rows, {1 - board.alpha:.0%} within "
        f"[{won.low:.5f}, {won.high:.5f}]; being the best of {len(board.rows)} flatters it by {won.optimism:.5f}."
    )


def slices_table(slices: tuple[Slice, ...], metric: str) -> str:
    """Every variant on every slice; of the verdicts few are false."""
    rows = [
        [
            one.value,
            one.variant,
            f"{one.rows}",
            f"{one.score:.5f}",
            f"{one.difference:+.5f}",
            "" if math.isnan(one.q) else f"{one.q:.3f}",
            one.verdict or "too few",
        ]
        for one in slices
    ]
    return columns(["slice", "variant", "rows", metric, "difference", "q", ""], rows)
