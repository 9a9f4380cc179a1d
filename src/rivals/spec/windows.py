"""Change windows: when a rollout may grow. ``mon-thu 09:00-16:00``, in UTC, or ``... Europe/Berlin``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, WithJsonSchema

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = re.compile(r"(\S+)\s+(\d\d):(\d\d)-(\d\d):(\d\d)(?:\s+(\S+))?")
WEEK, DAY = 7, 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """A time of the week, on the clock of ``zone``: ``days`` (0 is Monday), minutes of the day [start, end)."""

    text: str
    days: tuple[int, ...]
    start: int
    end: int
    zone: str = "UTC"

    def open(self, now: float) -> bool:
        """Whether ``now``, in seconds since the epoch, lies in it on its own zone's clock."""
        there = datetime.fromtimestamp(now, ZoneInfo(self.zone))
        return self.holds(there.weekday(), 60 * there.hour + there.minute)

    def holds(self, day: int, minute: int) -> bool:
        """Whether that minute of that day lies in it. One that ends before it starts goes on into the next day."""
        if self.start < self.end:
            return day in self.days and self.start <= minute < self.end
        return (day in self.days and minute >= self.start) or ((day - 1) % WEEK in self.days and minute < self.end)


def as_window(value: object) -> object:
    """``"mon-thu 09:00-16:00"`` -> ``Window``. Raises ``ValueError`` with a sentence."""
    if not isinstance(value, str):
        return value
    found = FORM.fullmatch(value.strip())
    days = _days(found[1].lower()) if found else ()
    if found is None or not days:
        raise ValueError(f"{value!r} is no window; write days, times and perhaps a zone, as mon-thu 09:00-16:00")
    start, end = (60 * int(found[i]) + int(found[i + 1]) for i in (2, 4))
    if max(int(found[3]), int(found[5])) >= 60 or start >= DAY or end > DAY or start == end:  # noqa: PLR2004 -- minutes of an hour
        raise ValueError(f"{value!r} is no window: times run from 00:00 to 24:00, and the two differ")
    zone = found[6] or "UTC"
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{value!r}: {zone!r} is no time zone known here; write one as Europe/Berlin") from None
    return Window(value.strip(), days, start, end, zone)


def _days(text: str) -> tuple[int, ...]:
    """``mon``, ``mon-thu``, ``fri-mon``, ``mon,wed``; empty where it is none of these."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first not in DAYS or (dash and last not in DAYS):
            return ()
        start = DAYS.index(first)
        many = (DAYS.index(last) - start) % WEEK + 1 if dash else 1
        found |= {(start + one) % WEEK for one in range(many)}
    return tuple(sorted(found))


ChangeWindow = Annotated[Window, BeforeValidator(as_window), WithJsonSchema({"type": "string"})]
