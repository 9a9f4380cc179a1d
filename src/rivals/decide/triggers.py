"""Is it time to train anew? Triggers, and what holds them: a cooldown, a budget, a stop after failures. Pure.

``consider`` what is known at a moment; the answer is what to remember, and a ``Retrain`` or a word to a person::

    quality    every variant got worse than it says of itself (the cause is ``Trouble.WORLD``)
    drift      inputs drifted, whether anybody is proven worse by now or not (``Trouble.INPUTS`` too): the proof may
               take a season, and a training that was not needed is stopped by its backtest
    schedule   so long after the last training
    data       so many more rows than the last training learned from
    hand       a person asks; only the stop after failures is lifted by it, everything else is theirs to decide

A training that was refused by its gate, broke, or whose challenger was rolled back is a failure; one that was promoted
starts the count anew. After ``failures`` in a row nothing is trained until a person has done it by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rivals.values import Cause, Instruction, Notify, Retrain, Trouble, Why

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Terms:
    """When a training may be asked for; durations in seconds, ``grown`` as a part of the rows last learned from."""

    on: Sequence[Why] = ("drift", "quality")
    window: float | None = None  # the longest that is learned from; None: everything so far
    cooldown: float = 45 * DAY
    most: int = 4
    per: float = 365 * DAY
    failures: int = 3
    every: float | None = None
    grown: float = 0.5


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered: when the models that answer were ``trained`` and on how many rows, and what came after.

    ``times``: of retrainings, oldest first; the first training, which nobody triggered, is not among them.
    """

    trained: float
    rows: int = 0
    times: tuple[float, ...] = ()
    failed: int = 0  # in a row
    said: str = ""  # what a person was told last


Next = tuple[Past, list[Instruction]]


def consider(terms: Terms, past: Past, cause: Cause, now: float, *, rows: int = 0) -> Next:
    """What to do at ``now``: train, tell a person what holds a training, or nothing.

    ``rows``: as many as a training could learn from now.
    """
    asked = wanted(terms, past, cause, now, rows=rows)
    if asked is None:
        return past, []
    if why := held(terms, past, now):
        told = f"{asked.reason}; a training is due, but {why}"
        return (past, []) if past.said == why else (replace(past, said=why), [Notify(told)])
    return begun(past, now, rows), [asked]


def wanted(terms: Terms, past: Past, cause: Cause, now: float, *, rows: int = 0) -> Retrain | None:
    """The training that a trigger asks for, whatever may hold it."""
    since = since_of(terms, now)
    drifted = cause.trouble in {Trouble.WORLD, Trouble.INPUTS} and bool(cause.columns)
    if cause.trouble is Trouble.WORLD and "quality" in terms.on:
        return Retrain("quality", since, cause.reason)
    if drifted and "drift" in terms.on:
        return Retrain("drift", since, cause.reason)
    if "schedule" in terms.on and terms.every is not None and now - past.trained >= terms.every:
        return Retrain("schedule", since, f"the last training is {(now - past.trained) / DAY:.0f} days old")
    if "data" in terms.on and past.rows and rows >= past.rows * (1 + terms.grown):
        return Retrain("data", since, f"there are {rows} rows, and the last training had {past.rows}")
    return None


def held(terms: Terms, past: Past, now: float) -> str:
    """What holds every trigger at this moment, as the end of a sentence; empty where nothing does."""
    if past.failed >= terms.failures:
        return f"{past.failed} in a row came to nothing; `rivals retrain` by hand is needed first"
    if now < past.trained + terms.cooldown:
        return f"the last one has to rest {_days(terms.cooldown)}"
    recent = [one for one in past.times if one > now - terms.per]
    if len(recent) >= terms.most:
        return f"the budget of {terms.most} in {_days(terms.per)} is used up"
    return ""


def by_hand(terms: Terms, past: Past, now: float, rows: int = 0) -> tuple[Past, Retrain]:
    """A person's own wish: nothing holds it."""
    return begun(replace(past, failed=0), now, rows), Retrain("hand", since_of(terms, now), "a person asked for it")


def since_of(terms: Terms, now: float) -> float | None:
    """The start of the rows that a training of this moment learns from; None: there is no first one."""
    return None if terms.window is None else now - terms.window


def begun(past: Past, now: float, rows: int = 0) -> Past:
    """A training began now."""
    return replace(past, trained=now, rows=rows or past.rows, times=(*past.times, now), said="")


def ended(past: Past, *, good: bool) -> Past:
    """What became of the last training: its challenger was promoted (``good``), or it came to nothing."""
    return replace(past, failed=0 if good else past.failed + 1)


def _days(seconds: float) -> str:
    return f"{seconds / DAY:.0f} days"
