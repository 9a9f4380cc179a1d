"""One leads, and another one within seconds of its end, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rivals.registry.leader import Leadership, OnlyHere, leadership
from rivals.registry.store import Store
from tests.postgres import Postgres

LEADER = """
import sys, time
from rivals.registry.leader import leadership
from rivals.registry.store import Store

one = leadership(Store(sys.argv[1]), "e")
while True:
    print(one.leads(), flush=True)
    time.sleep(0.5)
"""
FAILOVER = 10.0  # seconds


@pytest.fixture
def stores(url: str) -> Iterator[Callable[[], Store]]:
    opened: list[Store] = []

    def another() -> Store:
        opened.append(Store(url))
        return opened[-1]

    yield another
    for store in opened:
        store.close()


@pytest.fixture
def leader(url: str) -> Iterator[subprocess.Popen[str]]:
    """Another process, which leads."""
    process = subprocess.Popen([sys.executable, "-c", LEADER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def seconds_until_it_leads(one: Leadership) -> float:
    started = time.monotonic()
    while not one.leads():
        assert time.monotonic() - started < 2 * FAILOVER
        time.sleep(0.1)
    return time.monotonic() - started


def test_of_many_one_leads_and_keeps_it(stores: Callable[[], Store]) -> None:
    several = [leadership(stores(), "e") for _ in range(4)]
    for _ in range(3):
        assert [one.leads() for one in several] == [True, False, False, False]
    other = leadership(stores(), "f")
    assert other.leads()  # every endpoint has a leader of its own
    several[0].resign()
    assert [one.leads() for one in reversed(several)] == [True, False, False, False]
    for one in (*several, other):
        one.resign()


def test_the_leaders_beats_are_seen_by_all(stores: Callable[[], Store]) -> None:
    first, second = leadership(stores(), "e"), leadership(stores(), "e")
    assert first.beats() == second.beats() == 0
    for count in (1, 2, 11):
        while second.beats() < count:
            first.beat()
        assert second.beats() == count
    assert leadership(stores(), "f").beats() == 0


def test_a_killed_leader_is_followed(stores: Callable[[], Store], leader: subprocess.Popen[str]) -> None:
    one = leadership(stores(), "e")
    assert not one.leads()
    leader.kill()
    assert seconds_until_it_leads(one) < FAILOVER
    one.resign()


@pytest.mark.slow
def test_a_frozen_leader_is_followed_and_knows_it_when_it_wakes(postgres: Postgres, template: str) -> None:
    url = postgres.database(template)
    process = subprocess.Popen([sys.executable, "-c", LEADER, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    os.kill(process.pid, signal.SIGSTOP)
    one = leadership(Store(url), "e")
    try:
        assert seconds_until_it_leads(one) < FAILOVER
        os.kill(process.pid, signal.SIGCONT)
        while process.stdout.readline() != "False\n":
            assert one.leads()
    finally:
        one.resign()
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_server_that_restarts_gives_the_lead_to_one(postgres: Postgres, template: str) -> None:
    store = Store(postgres.database(template))
    several = [leadership(store, "e") for _ in range(2)]
    assert [one.leads() for one in several] == [True, False]
    postgres.stop()
    assert [one.leads() for one in several] == [False, False]
    postgres.start()
    assert sorted(one.leads() for one in several) == [False, True]
    for one in several:
        one.resign()
    store.close()


def test_stores_in_schemas_of_one_database_have_leaders_of_their_own(postgres: Postgres) -> None:
    made = postgres.database()
    for name in ("a", "b"):
        postgres.sql(f"create schema {name}", made.partition("@/")[2].partition("?")[0])
    stores = [Store(f"{made}&options=-csearch_path%3D{name}") for name in ("a", "b")]
    several = [leadership(store, "e") for store in stores]
    assert [one.leads() for one in several] == [True, True]
    with stores[0].transaction(), stores[1].transaction() as tx:  # and writers of their own
        tx.put_state("key", b"1")
    assert stores[0].state("key") is None
    for one, store in zip(several, stores, strict=True):
        one.resign()
        store.close()


def test_what_one_process_of_a_host_does_the_others_leave(tmp_path: Path) -> None:
    first, second = OnlyHere(tmp_path / "ship.lock"), OnlyHere(tmp_path / "ship.lock")
    assert [first.ours(), second.ours(), first.ours()] == [True, False, True]
    first.close()
    assert second.ours()
    second.close()
