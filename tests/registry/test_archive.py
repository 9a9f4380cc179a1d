"""What is closed goes to the archive once, wherever the process dies; what is erased is nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivals.registry import archive as module
from rivals.registry.archive import DAY, Archive, day_name
from rivals.registry.erasure import digest, pseudonym, salt_of, tombstones
from rivals.registry.ledger import Ledger
from rivals.registry.store import Store
from rivals.values import Feedback, Outcome

from .conftest import a_close, an_exposure, emptied

NOW = 10 * DAY


@pytest.fixture
def archive(store: Store, tmp_path: Path) -> Archive:
    return Archive(store, tmp_path / "archive", "e")


def ask(store: Store, name: str, time: float, unit: str = "u", *, closed: bool = True, **more: Any) -> None:
    opens = [an_exposure(name, time=time, unit=unit), an_exposure(name, "new", time=time, unit=unit, shadow=True)]
    closes = [a_close(name), a_close(name, "new")] if closed else []
    store.ship(f"j{name}", 1, opens, closes, [], [(name, b'{"a":1.5}')], **more)


def everything(archive: Archive) -> Counter[tuple[str, str]]:
    """Every exposure there is, in the store and in the files; nothing may be twice or lost."""
    kept = [(one.id, one.variant) for _, one in archive.store.exposures_since("e", 0, 10**6, ["old", "new"])]
    moved = [(one.exposure.id, one.exposure.variant) for day in archive.days() for one in archive.read(day)]
    return Counter(kept) + Counter(moved)


def drain(archive: Archive, before: float = NOW, **more: Any) -> int:
    moved = 0
    while some := archive.move(before, **more):
        moved += some
    return moved


def test_closed_days_are_moved_and_read_back_as_they_were(archive: Archive) -> None:
    store = archive.store
    for number, time in enumerate((0.5, DAY - 1, DAY, 3 * DAY, 3 * DAY + 5)):
        ask(store, f"{number}/0", time)
    store.take([Feedback("0/0", 1), Feedback("", reward=2.0, unit="u", start=0.0, end=DAY)])
    before = dict(store.exposures_since("e", 0, 99, ["old", "new"]))
    assert drain(archive) == 6
    assert archive.days() == ["1970-01-01", "1970-01-02"]  # the newest day stays
    found = [one for day in archive.days() for one in archive.read(day)]
    assert {one.closed_seq: one.exposure for one in found} == {seq: before[seq] for seq in range(1, 7)}
    assert [one.inputs for one in found] == [{"a": 1.5}] * 6
    told = [(one.exposure.id, one.label, one.reward) for one in found if not one.exposure.shadow]
    assert told == [("0/0", 1, 2.0), ("1/0", None, 2.0), ("2/0", None, None)]
    store.take([Feedback("2/0", 0)])  # a label may still come
    assert [one.label for one in archive.read("1970-01-02")] == [0, 0]
    assert store.inputs("0/0") is None
    assert store.inputs("3/0") == {"a": 1.5}
    assert store.counts("e")["old"]["requests"] == 5  # what was counted stays counted
    everybody = (path.stat().st_mode & 0o077 for path in [archive.folder, *archive.folder.glob("day=*")])
    assert set(everybody) == {0}


def test_what_is_open_or_not_looked_at_or_too_young_stays(archive: Archive) -> None:
    ask(archive.store, "open/0", 1.0, closed=False)
    ask(archive.store, "seen/0", 2.0)
    ask(archive.store, "unseen/0", 3.0)
    ask(archive.store, "young/0", 5 * DAY)
    ask(archive.store, "new/0", 8 * DAY)
    assert drain(archive, before=5 * DAY, closed_up_to=2) == 2
    assert [one.exposure.id for one in archive.read("1970-01-01")] == ["seen/0", "seen/0"]
    assert drain(archive, before=5.5 * DAY) == 2
    archive.store.ship("late", 1, [], [a_close("open/0", outcome=Outcome.LOST)], [])
    assert drain(archive, before=5.5 * DAY) == 1
    assert [one.exposure.outcome for one in archive.read("1970-01-01")][-1] is Outcome.LOST


def test_an_empty_store_moves_nothing(archive: Archive) -> None:
    assert archive.move(NOW) == 0
    assert archive.drop(NOW) == archive.days() == []


@pytest.mark.parametrize("seconds", [-1e11, -1.0, 0.0, 1.4e9, 1e11])
def test_any_time_that_a_request_may_have_has_a_day(seconds: float) -> None:
    assert len(day_name(seconds // DAY * DAY).split("-")[-1]) == 2


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.sampled_from([0.0, 5.0, DAY, DAY + 1, 2 * DAY]), max_size=12),
    limit=st.integers(1, 5),
    steps=st.integers(0, 9),
)
def test_history_and_pairs_are_what_they_were_before_anything_was_moved(
    shared: Store, tmp_path_factory: pytest.TempPathFactory, times: list[float], limit: int, steps: int
) -> None:
    store = emptied(shared)
    archive = Archive(store, tmp_path_factory.mktemp("archive"), "e")
    for number, time in enumerate([*times, 4 * DAY]):
        ask(store, f"{number}/0", time)
        store.take([Feedback(f"{number}/0", number % 2)])
    both = ["old", "new"]
    before = store.exposures_since("e", 0, 99, both), store.exposures_since("e", 3, 99, ["new"])
    blocks = [(start, start + 0.7 * DAY) for start in (0.0, 0.5 * DAY, DAY, 4 * DAY)]
    pairs = [store.pairs("e", *both, *block) for block in blocks]
    for _ in range(steps):
        archive.move(NOW, limit=limit)
    assert (list(archive.history(both)), list(archive.history(["new"], after=3))) == before
    assert [archive.pairs(*both, *block) for block in blocks] == pairs


# -- dying anywhere -------------------------------------------------------------------------------------


class Died(BaseException):
    """The process ends here."""


def mortal(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Die at the n-th step that leaves a trace: before it, or just after it."""
    steps = iter(range(10**6))

    def guarded(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **more: Any) -> Any:
            if next(steps) == at:
                raise Died
            done = real(*given, **more)
            if next(steps) == at:
                raise Died
            return done

        return call

    monkeypatch.setattr(module.pq, "write_table", guarded(pq.write_table))
    monkeypatch.setattr(Path, "replace", guarded(Path.replace))
    monkeypatch.setattr(Archive, "_delete", guarded(Archive._delete))
    monkeypatch.setattr(module, "erase", guarded(module.erase))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.sampled_from([0.0, 5.0, DAY, DAY + 1, 2 * DAY]), min_size=1, max_size=9),
    deaths=st.lists(st.integers(0, 14), max_size=4),
    limit=st.integers(1, 5),
)
def test_wherever_it_dies_nothing_is_lost_and_nothing_is_there_twice(
    shared: Store, tmp_path_factory: pytest.TempPathFactory, times: list[float], deaths: list[int], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    store = emptied(shared)
    archive = Archive(store, folder, "e")
    for number, time in enumerate([*times, 4 * DAY]):
        ask(store, f"{number}/0", time)
    asked = everything(archive)
    for serial, death in enumerate(deaths):
        with pytest.MonkeyPatch.context() as patch:
            mortal(patch, death)
            try:
                drain(archive, limit=limit)
            except Died:
                ask(store, f"late{serial}/0", times[0])  # and the world goes on
                asked += Counter({(f"late{serial}/0", variant): 1 for variant in ("old", "new")})
    drain(archive, limit=limit)
    assert everything(archive) == asked
    assert not list(folder.glob("day=*/*.begun"))
    assert set(archive.days()) == {day_name(time // DAY * DAY) for time in times}


# -- retention and erasure ----------------------------------------------------------------------------------


def test_whole_days_are_dropped_with_what_was_told_of_them(archive: Archive) -> None:
    store = archive.store
    for number in range(4):
        ask(store, f"{number}/0", number * DAY)
        store.take([Feedback(f"{number}/0", 1, time=number * DAY + 5)])
    store.take([Feedback("x/0", 1, time=3.0), Feedback("x/0", 0, time=3.0), Feedback("0/0", 0)])
    store.take([Feedback("", 1, unit="u", start=0.0, end=9.0), Feedback("", 1, unit="u", start=0.0, end=9 * DAY)])
    ask(store, "open/0", 1.0, closed=False)
    drain(archive)
    assert archive.drop(DAY - 1) == []
    assert archive.drop(2 * DAY) == ["1970-01-01", "1970-01-02"]
    assert archive.days() == ["1970-01-03"]
    assert store.exposure("open") == []
    assert store.feedback_counts() == {"kept": 2, "unknown": 1, "contradicting": 0, "windows": 1}


@pytest.mark.parametrize("death", [None, *range(8)])
def test_a_forgotten_unit_is_nowhere_and_the_ledger_holds(
    archive: Archive, death: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = archive.store
    for number in range(6):
        ask(store, f"{number}/0", number * DAY / 2, unit="ann@example.org" if number % 2 else "bob")
        store.take([Feedback(f"{number}/0", 1)])
    store.take([Feedback("", 1, unit="ann@example.org", start=0.0, end=9.0)])
    with store.transaction() as tx:
        Ledger(store).append(tx, "e", "rollout.judged", 1.0, {"anything": 1})
    before = {(one.id, one.variant): one for _, one in store.exposures_since("e", 0, 99, ["old", "new"])}
    drain(archive)
    if death is not None:
        with pytest.MonkeyPatch.context() as patch:
            mortal(patch, death)
            with suppress(Died):
                archive.forget("ann@example.org", NOW)
    archive.forget("ann@example.org", NOW)
    assert sorted(everything(archive)) == sorted(key for key, one in before.items() if one.unit == "bob")
    raw = b"".join(path.read_bytes() for path in archive.folder.parent.rglob("*") if path.is_file())
    assert b"ann@example.org" not in raw
    assert store.feedback_counts() == {"kept": 3, "unknown": 2, "contradicting": 0, "windows": 0}
    Ledger(store).verify()
    entry = Ledger(store).entries("e")[1]
    salt = salt_of(store)
    assert (entry.kind, entry.body["unit"]) == ("unit.erased", pseudonym(salt, "ann@example.org"))
    stones = tombstones(store, "e")
    assert set(stones) == {key for key, one in before.items() if one.unit != "bob"}
    assert len({stone.digest for stone in stones.values()}) == len(stones)
    drain(archive)
    assert archive.forget("ann@example.org", NOW) == 0


def test_a_tombstone_is_the_same_from_the_store_and_from_the_archive(archive: Archive) -> None:
    ask(archive.store, "a/0", 1.0, unit="ann")
    ask(archive.store, "b/0", 5 * DAY, unit="bob")
    (row, *_) = (dict(one._asdict()) for one in archive.store.rows(module.sa.select(module.exposures)))
    drain(archive)
    archive.forget("ann", NOW)
    assert tombstones(archive.store, "e")["a/0", "old"].digest == digest(salt_of(archive.store), row)
