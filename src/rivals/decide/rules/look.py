"""What other people's rollout rules are shown, and how they answer: one interval of the ramp at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from rivals.values import Status

Metric = Literal["failures", "answers"]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many there were, and how many of them were bad: failed requests, or wrong answers among labelled ones."""

    met: int = 0
    bad: int = 0

    @property
    def rate(self) -> float:
        """NaN where nothing was met."""
        return self.bad / self.met if self.met else math.nan

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.met + other.met, self.bad + other.bad)


@dataclass(frozen=True, slots=True)
class Arms:
    """One metric in one interval. ``baseline``: a part of the champion's traffic that is as large as the challenger's.

    Kayenta asks to compare with such a baseline; where the share is one half or more it is all of the champion's.
    """

    champion: Tally = field(default_factory=Tally)
    challenger: Tally = field(default_factory=Tally)
    baseline: Tally = field(default_factory=Tally)

    def __add__(self, other: Arms) -> Arms:
        return Arms(self.champion + other.champion, self.challenger + other.challenger, self.baseline + other.baseline)


@dataclass(frozen=True, slots=True)
class Look:
    """What happened since the look before, to clients' requests. ``answers``: by labels that came in this interval."""

    share: float  # the challenger's, all that time
    failures: Arms = field(default_factory=Arms)
    answers: Arms = field(default_factory=Arms)

    def arms(self, metric: Metric) -> Arms:
        """One of the two metrics."""
        return self.failures if metric == "failures" else self.answers


class Rule(Protocol):
    """A rule for rollouts: FAIL rolls back, PASS lets the ramp go on, INCONCLUSIVE holds it where it is."""

    def begin(self) -> Any:
        """What it remembers before the first look."""
        ...

    def look(self, memory: Any, seen: Look) -> tuple[Any, Status]:
        """What it remembers after this look, and what it says."""
        ...


def gathered(looks: tuple[Look, ...], metric: Metric) -> Arms:
    """One metric over several looks."""
    return sum((one.arms(metric) for one in looks), Arms())
