"""The chain notices whatever is done to it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivals.errors import LedgerError
from rivals.registry.ledger import START, Ledger
from rivals.registry.store import Store

ENTRIES = 5


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def ledger(store: Store) -> Ledger:
    ledger = Ledger(store)
    for i in range(1, ENTRIES + 1):
        with store.transaction() as tx:
            ledger.append(tx, "e" if i % 2 else "f", "rollout.judged", i + 0.1, {"b": i, "a": {"ü": None, "x": 0.1}})
    return ledger


def change(database: Path, *statements: str) -> None:
    connection = sqlite3.connect(database)
    with connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


def test_an_empty_chain_is_whole(store: Store) -> None:
    assert Ledger(store).verify() == START
    assert Ledger(store).verify(START) == START
    assert Ledger(store).entries() == []


def test_entries_come_back_in_order_and_by_endpoint(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5]
    assert [entry.seq for entry in ledger.entries("f")] == [2, 4]
    assert entries[0].body == {"a": {"ü": None, "x": 0.1}, "b": 1}
    assert ledger.verify() == entries[-1].hash


def test_what_is_appended_is_what_is_read(ledger: Ledger, store: Store) -> None:
    with store.transaction() as tx:
        entry = ledger.append(tx, "e", "kind", 7, {"z": (1, 2)})
    assert ledger.entries()[-1] == entry


def test_the_chain_can_be_checked_with_a_few_lines_of_anybodys(ledger: Ledger, database: Path) -> None:
    connection = sqlite3.connect(database)
    previous = "0" * 64
    for seq, endpoint, kind, time, body, link in connection.execute(
        "select seq, endpoint, kind, time, body, hash from ledger order by seq"
    ):
        assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == body
        entry = json.dumps([seq, endpoint, kind, time, body], separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256((previous + entry).encode()).hexdigest()
        assert previous == link
    connection.close()
    assert ledger.verify() == previous


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
@pytest.mark.parametrize(
    "edit",
    ["seq = 99", "endpoint = 'x'", "kind = 'x'", "time = time + 1e-6", "body = '{}'", "body = body || ' '",
     "previous = hash", "hash = previous", "hash = upper(hash)"],
)  # fmt: skip
def test_every_field_of_every_entry_is_held(ledger: Ledger, database: Path, seq: int, edit: str) -> None:
    change(database, f"update ledger set {edit} where seq = {seq}")
    with pytest.raises(LedgerError, match=f"Entry {seq} "):
        ledger.verify()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_character_of_a_body_is_held(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    place = tmp_path_factory.mktemp("flips") / "store.db"
    store = Store(f"sqlite:///{place}")
    with store.transaction() as tx:
        Ledger(store).append(tx, "e", "kind", 1.0, {"reason": "harm is shown", "share": 0.05})
    connection = sqlite3.connect(place)
    (body,) = connection.execute("select body from ledger").fetchone()
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda one: one != body[at]))
    with connection:
        connection.execute("update ledger set body = ?", (body[:at] + other + body[at + 1 :],))
    connection.close()
    with pytest.raises(LedgerError, match="Entry 1 "):
        Ledger(store).verify()
    store.close()


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
def test_a_removed_entry_is_missed(ledger: Ledger, database: Path, seq: int) -> None:
    change(database, f"delete from ledger where seq = {seq}")
    with pytest.raises(LedgerError, match=f"Entry {seq} .*missing" if seq < ENTRIES else "ends with entry 4"):
        ledger.verify()


def test_swapped_entries_are_noticed(ledger: Ledger, database: Path) -> None:
    change(database, *(f"update ledger set seq = {to} where seq = {of}" for of, to in ((2, 99), (3, 2), (99, 3))))
    with pytest.raises(LedgerError, match="Entry 2 "):
        ledger.verify()


def test_a_chain_that_was_cut_and_patched_fails_against_a_receipt(ledger: Ledger, database: Path) -> None:
    receipt = ledger.verify()
    change(database, "delete from ledger where seq > 3", "update counters set value = 3 where name = 'ledger_entries'")
    ledger.verify()  # by itself it looks whole
    with pytest.raises(LedgerError, match="ends with entry 3"):
        ledger.verify(receipt)


def test_a_chain_that_was_written_anew_fails_against_a_receipt(
    ledger: Ledger, store: Store, database: Path, append: Callable[[str], None]
) -> None:
    receipt = ledger.verify()
    change(database, "delete from ledger where seq > 3", "update counters set value = 3 where name = 'ledger_entries'")
    append("another story")
    append("another end")
    ledger.verify()
    with pytest.raises(LedgerError):
        ledger.verify(receipt)


def test_a_receipt_holds_after_more_was_appended(ledger: Ledger, append: Callable[[str], None]) -> None:
    receipt = ledger.verify()
    append("more")
    assert ledger.verify(receipt) != receipt


def test_nothing_is_appended_where_the_last_entry_is_gone(
    ledger: Ledger, database: Path, append: Callable[[str], None]
) -> None:
    change(database, f"delete from ledger where seq = {ENTRIES}")
    with pytest.raises(LedgerError, match=f"Entry {ENTRIES} .*missing"):
        append("on top of a gap")
    assert len(ledger.entries()) == ENTRIES - 1


@pytest.fixture
def append(store: Store) -> Callable[[str], None]:
    def one(kind: str) -> None:
        with store.transaction() as tx:
            Ledger(store).append(tx, "e", kind, 9.0, {})

    return one
