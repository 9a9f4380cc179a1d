"""Two operators at once: one is told of a conflict, and nothing that was done is lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from rivals.app.control import _reply
from rivals.errors import Conflict, RolloutError
from rivals.flows import fences
from rivals.flows.begin import start_rollout
from rivals.flows.operators import approve, freeze, pin, quarantine, roll_back_to
from rivals.flows.rollout import steer
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.store import Store
from rivals.values import Phase

from .conftest import Site

Command = Callable[[Workspace], Any]


def together(site: Site, first: Command, second: Command, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Both have looked before either writes: what each got, or the conflict it was told of."""
    meeting, begin = threading.Barrier(2, timeout=30), Store.transaction
    met = threading.local()

    def transaction(store: Store) -> Any:
        if not hasattr(met, "once"):
            met.once = True
            meeting.wait()
        return begin(store)

    got: list[Any] = [None, None]

    def run(place: int, command: Command) -> None:
        site_of = site.again()
        try:
            got[place] = command(site_of.workspace)
        except Exception as error:  # noqa: BLE001 -- looked at below
            got[place] = error

    monkeypatch.setattr(Store, "transaction", transaction)
    threads = [threading.Thread(target=run, args=(place, one)) for place, one in enumerate((first, second))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr(Store, "transaction", begin)
    return got


def idle(site: Site) -> None:
    site.workspace.table()


def running(site: Site) -> None:
    site.start()


def after_one(site: Site) -> None:
    site.start("third")
    steer(site.workspace, "promote")
    site.start()


def paused(site: Site) -> None:
    site.start()
    steer(site.workspace, "pause")


def waiting(site: Site) -> None:
    site.start()
    site.good()
    for _ in range(3):
        site.judge()


STEERING: list[tuple[str, Callable[[Site], None], Command, Command]] = [
    ("start, start", idle, lambda w: start_rollout(w, "new"), lambda w: start_rollout(w, "third")),
    ("start the same", idle, lambda w: start_rollout(w, "new"), lambda w: start_rollout(w, "new")),
    ("pause, pause", running, lambda w: steer(w, "pause"), lambda w: steer(w, "pause")),
    ("resume, rollback", paused, lambda w: steer(w, "resume"), lambda w: steer(w, "rollback")),
    ("promote, rollback", running, lambda w: steer(w, "promote"), lambda w: steer(w, "rollback")),
    ("pause, quarantine", running, lambda w: steer(w, "pause"), lambda w: quarantine(w, "new")),
    ("promote, go back", after_one, lambda w: steer(w, "promote"), lambda w: roll_back_to(w, 1)),
    ("freeze, freeze", idle, lambda w: freeze(w, by="ann"), lambda w: freeze(w, by="bob")),
    ("freeze, pin", idle, lambda w: freeze(w, by="ann"), lambda w: pin(w, "third", by="bob")),
    ("pin, pin", idle, lambda w: pin(w, "new", by="ann"), lambda w: pin(w, "third", by="bob")),
    ("quarantine, quarantine", idle, lambda w: quarantine(w, "new"), lambda w: quarantine(w, "third")),
    ("approve, approve", waiting, lambda w: approve(w, by="ann"), lambda w: approve(w, by="bob")),
]


@pytest.mark.parametrize(
    ("prepare", "first", "second"), [one[1:] for one in STEERING], ids=[one[0] for one in STEERING]
)
def test_of_two_operators_at_once_one_is_told_of_a_conflict_and_nothing_is_lost(
    prepare: Callable[[Site], None],
    first: Command,
    second: Command,
    site: Callable[..., Site],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = site("  approval: promote")
    prepare(one)
    store = one.workspace.store
    entries, revision = len(one.kinds()), one.workspace.table().revision
    got = together(one, first, second, monkeypatch)
    conflicts = [error for error in got if isinstance(error, Exception)]
    assert [type(error) for error in conflicts] == [Conflict]
    assert "look again and repeat" in str(conflicts[0])
    assert len([rollout for rollout in store.rollouts("toy") if not rollout.phase.final]) <= 1
    assert len(one.kinds()) - entries in {1, 2}  # a quarantine rolls back too; the other one left no trace
    assert one.workspace.table().revision - revision <= 1
    Ledger(store).verify()


def test_any_revision_can_be_gone_back_to_also_after_a_promotion(site: Callable[..., Site]) -> None:
    one = site()
    one.start()
    steer(one.workspace, "promote")
    one.start("third")
    roll_back_to(one.workspace, 1, by="ann")
    table = one.workspace.table()
    assert (table.champion, [arm.weight for arm in table.arms], table.shadows, table.rollout) == ("old", [1.0], (), "")
    assert set(table.slots) == {0}
    ends = [rollout.phase for rollout in one.workspace.store.rollouts("toy") if rollout.strategy != "watch"]
    assert ends == [Phase.PROMOTED, Phase.ROLLED_BACK]
    roll_back_to(one.workspace, table.revision - 1, by="ann")  # who was champion while third was in the shadow
    assert one.workspace.table().champion == "new"
    roll_back_to(one.workspace, 1, by="ann")
    assert one.workspace.store.rollouts("toy")[0].phase is Phase.ROLLED_BACK  # its promotion is undone
    for wrong in (0, one.workspace.table().revision, 99):
        with pytest.raises(RolloutError, match="no revision"):
            roll_back_to(one.workspace, wrong)
    quarantine(one.workspace, "new")
    with pytest.raises(RolloutError, match="in quarantine"):
        roll_back_to(one.workspace, table.revision - 1)


def test_a_conflict_is_409_over_http() -> None:
    def clash() -> None:
        raise Conflict("Somebody else was first.")

    reply = asyncio.run(_reply(clash))
    assert (reply.status_code, json.loads(reply.body)) == (409, {"error": "Somebody else was first."})


def test_commands_one_after_another_are_all_kept(site: Callable[..., Site]) -> None:
    one = site()
    quarantine(one.workspace, "new", by="ann")
    pin(one.again().workspace, "old", by="bob")
    freeze(one.workspace, by="ann")
    kept = fences.fences_of(one.again().workspace)
    assert (kept.frozen, dict(kept.quarantined), kept.pinned) == ("ann", {"new": "ann"}, "bob")


def test_who_says_so_is_asked_of_the_command_the_environment_and_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RIVALS_USER", "eve")
    assert (fences.person("ann"), fences.person()) == ("ann", "eve")
    monkeypatch.delenv("RIVALS_USER")
    monkeypatch.setenv("LOGNAME", "sys")
    assert fences.person() == "sys"
