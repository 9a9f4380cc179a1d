"""Several control processes on one store: one decides, once, whatever happens to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from rivals.errors import Conflict, StoreAway
from rivals.flows import rollout as module
from rivals.flows.control import Control
from rivals.flows.verify import verify_ledger
from rivals.registry import schema
from rivals.registry.database import Database
from rivals.registry.ledger import Ledger
from rivals.serve.reconcile import Lease
from rivals.values import Phase
from tests.postgres import Postgres
from tests.stories.conftest import Server, free_port, wait_until
from tests.stories.test_kills import Load

from .conftest import Site

FAILOVER = 10.0  # seconds
HANGING = """
import sys, time
from pathlib import Path
from rivals.app.control import run
from rivals.flows.workspace import open_workspace
from rivals.registry.ledger import Ledger

real = Ledger.append


def append(self, tx, endpoint, kind, *rest):
    found = real(self, tx, endpoint, kind, *rest)
    if kind == "rollout.judged":
        Path("in-the-middle").touch()
        time.sleep(float(sys.argv[2]))
    return found


Ledger.append = append
run(open_workspace(Path("rivals.yaml")), "127.0.0.1", int(sys.argv[1]), "replay")
"""


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every store that a test opened is closed after it; MLflow is not told, for nobody asks it here."""
    opened, real = list[Database](), Database.__init__

    def remember(self: Database, url: str) -> None:
        real(self, url)
        opened.append(self)

    monkeypatch.setattr(Database, "__init__", remember)
    monkeypatch.setattr(Control, "_mirror_aliases", lambda _: None)
    yield
    for one in opened:
        one.close()


@pytest.fixture
def placed(site: Callable[..., Site], url: str) -> Callable[..., Site]:
    """A site whose store is at the URL."""
    return lambda more="", **settings: site(f'  cooldown: 1h\nstore: {{url: "{url}"}}\n{more}', **settings)


@pytest.fixture
def served(site: Callable[..., Site], postgres: Postgres, template: str) -> Iterator[Site]:
    """A site whose store is in PostgreSQL."""
    made = postgres.database(template)
    yield site(f'store: {{url: "{made}"}}\n')
    postgres.drop(made)


def decided(one: Site) -> list[str]:
    """How rollouts ended, as the ledger has it."""
    return [
        entry.body["phase"] for entry in Ledger(one.workspace.store).entries("toy") if entry.kind == "rollout.judged"
    ]


# -- of two that judge at once ------------------------------------------------------------------------------


def test_of_two_that_judge_the_same_evidence_one_decides(
    placed: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = placed()
    one.start()
    one.bad()
    other, real, turns = one.again(), module.analyse, iter([True])

    def analyse(*given: Any) -> Any:
        if next(turns, False):
            other.judge()  # a whole round of another leader, while this one is thinking
        return real(*given)

    monkeypatch.setattr(module, "analyse", analyse)
    with pytest.raises(Conflict, match="judged or changed by somebody else"):
        one.judge()
    assert decided(one) == ["rolled_back"]
    assert one.workspace.table().revision == other.workspace.table().revision
    assert verify_ledger(one.workspace)["derived"] == 1


def test_a_leader_that_was_overtaken_writes_no_older_evidence(
    placed: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = placed()
    running = one.start()
    one.traffic("new", 10, shadow=True)
    other, real, turns = one.again(), module.look, iter([True])

    def look(*given: Any) -> Any:
        found = real(*given)
        if next(turns, False):
            other.traffic("new", 10, shadow=True)
            other.judge()
        return found

    monkeypatch.setattr(module, "look", look)
    with pytest.raises(Conflict):
        one.judge()
    kept = other.workspace.store.state(f"evidence/{running.id}")
    assert one.judge().phase is Phase.SHADOW
    assert one.workspace.store.state(f"evidence/{running.id}") != kept  # and the next round goes on from there
    assert verify_ledger(one.workspace)["head"]


# -- standing by ---------------------------------------------------------------------------------------------


def lease_of(control: Control) -> float:
    path = control.workspace.run_dir / "lease.json"
    return msgspec.json.decode(path.read_bytes(), type=Lease).until if path.exists() else 0.0


def test_who_stands_by_judges_nothing_and_renews_the_lease_while_somebody_leads(
    placed: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory
) -> None:
    one = placed()
    first = Control(one.workspace, "replay")
    host = one.on(tmp_path_factory.mktemp("host"))
    second = Control(Site(module.Workspace(one.workspace.spec, host)).workspace, "replay")
    for control in (first, second):
        control._lead()
    assert (first.leads, second.leads) == (True, False)
    one.start()
    one.bad()
    second.round()
    assert one.workspace.store.active_rollout("toy") is not None
    assert lease_of(second) == 0.0  # nobody was seen to lead
    first.round()
    assert one.workspace.store.active_rollout("toy") is None
    second.round()
    until = lease_of(second)
    assert until > time.monotonic()
    second.round()
    assert lease_of(second) == until  # the leader did nothing since
    first._leadership.resign()
    second._lead()
    assert second.leads
    second._leadership.resign()
    for control in (first, second):
        control._shipper.close()


def test_whoever_is_stuck_in_a_round_leads_no_longer(placed: Callable[..., Site]) -> None:
    control = Control(placed().workspace, "replay")
    control._lead()
    assert control.leads
    control._round -= 31.0
    control._lead()
    assert not control.leads
    control._lead()  # where nobody else wants it, it has another go
    assert control.leads
    control._leadership.resign()


# -- a store that does not answer ------------------------------------------------------------------------------


def test_a_store_that_is_away_is_a_sentence_and_is_waited_for(
    served: Site, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    control = Control(served.workspace, "replay")
    control._lead()
    control.round()
    postgres.stop()
    try:
        with pytest.raises(StoreAway, match=r"The store postgresql.* does not answer: connection"):
            control.round()
        assert [control._tried() for _ in range(5)] == [0.5, 1.0, 2.0, 2.0, 2.0]
        control._lead()
        assert not control.leads
    finally:
        postgres.start()
    control._lead()
    assert control.leads
    assert control._tried() == 0.05
    said = [record.getMessage() for record in caplog.records if record.name == "rivals.control"]
    assert sum(one.startswith("store.away endpoint=toy again_in=") for one in said) == 5
    assert sum(one.startswith("store.back endpoint=toy away_seconds=") for one in said) == 1
    control._leadership.resign()


def test_a_transaction_that_was_cut_off_kept_nothing_and_the_next_one_works(served: Site, postgres: Postgres) -> None:
    store = served.workspace.store

    def half() -> None:
        with store.transaction() as tx:
            tx.put_state("key", b"half")
            postgres.stop()
            postgres.start()
            tx.put_state("key", b"whole")

    with pytest.raises(StoreAway):
        half()
    assert store.state("key") is None
    served.traffic("old", 3)
    assert store.answered("toy") == 4


# -- real processes ---------------------------------------------------------------------------------------------


def control_process(folder: Path, hang: float | None, port: int) -> subprocess.Popen[bytes]:
    """A control process of a host; with ``hang`` it stops for so long in the middle of writing a decision."""
    words = ["-m", "rivals", "control", "--control-port", str(port), "--clock", "replay"]
    if hang is not None:
        words = ["-c", HANGING, str(port), str(hang)]
    with (folder / "control.log").open("ab") as log:
        return subprocess.Popen([sys.executable, *words], cwd=folder, stderr=log, stdout=log)


def api(port: int, path: str) -> Any:
    return Server.api(_At(port), path)  # type: ignore[arg-type]


class _At:
    def __init__(self, port: int) -> None:
        self.control_port = port


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_leader_that_ends_in_the_middle_of_a_decision_leaves_it_to_the_next_and_it_is_made_once(
    served: Site, tmp_path_factory: pytest.TempPathFactory, how: signal.Signals
) -> None:
    served.start()
    folders = [tmp_path_factory.mktemp("host") for _ in range(3)]
    for folder in folders:
        served.on(folder)
    ports = [free_port() for _ in folders]
    running = [control_process(folders[0], 3600.0, ports[0])]
    try:
        wait_until(lambda: (api(ports[0], "/api/clock") or {}).get("leads"), 60, folders[0] / "control.log")
        running += [control_process(folder, None, port) for folder, port in zip(folders[1:], ports[1:], strict=True)]
        for folder, port in zip(folders[1:], ports[1:], strict=True):
            wait_until(lambda port=port: api(port, "/api/clock") is not None, 60, folder / "control.log")
        served.bad()
        wait_until((folders[0] / "in-the-middle").exists, 30, folders[0] / "control.log")
        assert decided(served) == []
        running[0].send_signal(how)
        ended = time.monotonic()
        wait_until(lambda: decided(served), 2 * FAILOVER, folders[1] / "control.log")
        took = time.monotonic() - ended
        print(f"{how.name}: decided by the next one after {took:.1f} s")
        assert took < FAILOVER
        if how is signal.SIGSTOP:
            running[0].send_signal(signal.SIGCONT)
            wait_until(
                lambda: not (api(ports[0], "/api/clock") or {"leads": True})["leads"], 30, folders[0] / "control.log"
            )
        assert sum(bool((api(port, "/api/clock") or {}).get("leads")) for port in ports[1:]) == 1
        assert decided(served) == ["rolled_back"]
        assert served.workspace.store.active_rollout("toy") is None
        assert verify_ledger(served.workspace)["derived"] == 1
    finally:
        for process in running:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def told_of(one: Site) -> set[str]:
    """The ids that the store has feedback of."""
    return {row.id for row in one.workspace.store.rows(sa.select(schema.feedback.c.id))}


@pytest.mark.slow
def test_a_server_that_is_away_fails_no_prediction_and_loses_no_acknowledged_feedback(
    served: Site, postgres: Postgres
) -> None:
    away, caught_up = 20.0, 5.0
    server = Server(served.workspace.folder, workers=2, file=served.workspace.file.name)
    stop = threading.Event()
    row = {"a": 0.5, "b": 0.25, "color": "red"}
    clients = [Load(server, number, stop, feedback=True, row=lambda _: row, pause=0.01) for number in range(2)]
    try:
        for client in clients:
            client.start()
        wait_until(lambda: all(len(client.acknowledged) > 50 for client in clients), 30, server.log)
        postgres.stop()
        gone = time.monotonic()
        stop.wait(away)
        before = sum(len(client.acknowledged) for client in clients)
        postgres.start()
        back, acknowledged = time.monotonic(), {one for client in clients for one in list(client.acknowledged)}

        wait_until(lambda: acknowledged <= told_of(served), 4 * caught_up, server.log)
        took = time.monotonic() - back
        print(
            f"away {back - gone:.0f} s, {before} acknowledged by then, all in the store {took:.1f} s after it was back"
        )
        stop.set()
        for client in clients:
            client.join()
        assert [wrong for client in clients for wrong in client.wrong] == []
        every = {one for client in clients for one in client.acknowledged}
        wait_until(lambda: every <= told_of(served), 10, server.log)
        assert took < caught_up
        wait_until(lambda: "store.back endpoint=toy" in server.log.read_text(), 10, server.log)
        said = server.log.read_text()
        assert "store.away endpoint=toy" in said
        assert "Traceback" not in said
    finally:
        stop.set()
        server.stop()
