"""The chain notices whatever is done to it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rivals.errors import LedgerError
from rivals.registry import schema
from rivals.registry.ledger import START, Ledger
from rivals.registry.store import Store

from .conftest import change

ENTRIES = 5


@pytest.fixture
def ledger(store: Store) -> Ledger:
    ledger = Ledger(store)
    for i in range(1, ENTRIES + 1):
        with store.transaction() as tx:
            ledger.append(tx, "e" if i % 2 else "f", "rollout.judged", i + 0.1, {"b": i, "a": {"ü": None, "x": 0.1}})
    return ledger


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


def test_the_chain_can_be_checked_with_a_few_lines_of_anybodys(ledger: Ledger, url: str) -> None:
    previous = "0" * 64
    for seq, endpoint, kind, time, body, link in change(
        url, "select seq, endpoint, kind, time, body, hash from ledger order by seq"
    ):
        assert json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == body
        entry = json.dumps([seq, endpoint, kind, time, body], separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256((previous + entry).encode()).hexdigest()
        assert previous == link
    assert ledger.verify() == previous


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
@pytest.mark.parametrize(
    "edit",
    ["seq = 99", "endpoint = 'x'", "kind = 'x'", "time = time + 1e-6", "body = '{}'", "body = body || ' '",
     "previous = hash", "hash = previous", "hash = upper(hash)"],
)  # fmt: skip
def test_every_field_of_every_entry_is_held(ledger: Ledger, url: str, seq: int, edit: str) -> None:
    change(url, f"update ledger set {edit} where seq = {seq}")
    with pytest.raises(LedgerError, match=f"Entry {seq} "):
        ledger.verify()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_character_of_a_body_is_held(data: st.DataObject, shared: Store) -> None:
    with shared.transaction() as tx:
        seq = Ledger(shared).append(tx, "e", "kind", 1.0, {"reason": "harm is shown", "share": 0.05}).seq
    one = schema.ledger.c
    ((body,),) = shared.rows(sa.select(one.body).where(one.seq == seq))
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(min_codepoint=32, max_codepoint=126).filter(lambda one: one != body[at]))
    put(shared, seq, body[:at] + other + body[at + 1 :])
    with pytest.raises(LedgerError, match=f"Entry {seq} "):
        Ledger(shared).verify()
    put(shared, seq, body)
    Ledger(shared).verify()


def put(store: Store, seq: int, body: str) -> None:
    with store.transaction() as tx:
        tx.connection.execute(sa.update(schema.ledger).where(schema.ledger.c.seq == seq), {"body": body})


@pytest.mark.parametrize("seq", range(1, ENTRIES + 1))
def test_a_removed_entry_is_missed(ledger: Ledger, url: str, seq: int) -> None:
    change(url, f"delete from ledger where seq = {seq}")
    with pytest.raises(LedgerError, match=f"Entry {seq} .*missing" if seq < ENTRIES else "ends with entry 4"):
        ledger.verify()


def test_swapped_entries_are_noticed(ledger: Ledger, url: str) -> None:
    change(url, *(f"update ledger set seq = {to} where seq = {of}" for of, to in ((2, 99), (3, 2), (99, 3))))
    with pytest.raises(LedgerError, match="Entry 2 "):
        ledger.verify()


def test_a_chain_that_was_cut_and_patched_fails_against_a_receipt(ledger: Ledger, url: str) -> None:
    receipt = ledger.verify()
    change(url, "delete from ledger where seq > 3", "update counters set value = 3 where name = 'ledger_entries'")
    ledger.verify()  # by itself it looks whole
    with pytest.raises(LedgerError, match="ends with entry 3"):
        ledger.verify(receipt)


def test_a_chain_that_was_written_anew_fails_against_a_receipt(
    ledger: Ledger, store: Store, url: str, append: Callable[[str], None]
) -> None:
    receipt = ledger.verify()
    change(url, "delete from ledger where seq > 3", "update counters set value = 3 where name = 'ledger_entries'")
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
    ledger: Ledger, url: str, append: Callable[[str], None]
) -> None:
    change(url, f"delete from ledger where seq = {ENTRIES}")
    with pytest.raises(LedgerError, match=f"Entry {ENTRIES} .*missing"):
        append("on top of a gap")
    assert len(ledger.entries()) == ENTRIES - 1


@pytest.fixture
def append(store: Store) -> Callable[[str], None]:
    def one(kind: str) -> None:
        with store.transaction() as tx:
            Ledger(store).append(tx, "e", kind, 9.0, {})

    return one
