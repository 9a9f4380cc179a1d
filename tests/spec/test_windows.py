"""Change windows as they are written."""

from __future__ import annotations

import pytest

from rivals.spec.windows import Window, as_window


def window(text: str) -> Window:
    found = as_window(text)
    assert isinstance(found, Window)
    return found


def test_a_window_holds_its_days_from_start_to_end() -> None:
    one = window("mon-thu 09:00-16:00")
    assert (one.days, one.start, one.end, one.zone) == ((0, 1, 2, 3), 540, 960, "UTC")
    assert one.holds(0, 540)
    assert one.holds(3, 959)
    assert not one.holds(0, 539)
    assert not one.holds(3, 960)
    assert not one.holds(4, 600)


def test_days_may_be_listed_and_wrap_round_the_week() -> None:
    assert window("fri-mon 00:00-24:00").days == (0, 4, 5, 6)
    assert window("tue,sat 08:00-09:00 Europe/Berlin").days == (1, 5)


def test_a_window_over_midnight_belongs_to_the_day_it_starts_on() -> None:
    night = window("fri 22:00-02:00")
    assert night.holds(4, 23 * 60)
    assert night.holds(5, 60)
    assert not night.holds(4, 60)
    assert not night.holds(5, 180)


@pytest.mark.parametrize(
    "text",
    ["", "mon", "monday 09:00-16:00", "mon-thu 9-16", "mon 09:00-09:00", "mon 09:70-10:00", "mon 25:00-26:00",
     "mon-thu 09:00-16:00 Moon/Base", "mon-foo 09:00-10:00", "mon 09:00-10:00 ../etc/passwd"],
)  # fmt: skip
def test_what_is_no_window_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no window|is no time zone"):
        as_window(text)
