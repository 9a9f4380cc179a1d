"""What a policy learned, learned once more from the exposures it was learned from, and what was told of them then."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from rivals.errors import LedgerError
from rivals.flows.archive import archive_of
from rivals.flows.derive import mark
from rivals.flows.learn import (
    LEARNED,
    SET,
    Learned,
    Lesson,
    Row,
    Rules,
    Shadows,
    as_json,
    learned_of,
    lesson_key,
    lived,
    policy_of,
    set_anew,
)
from rivals.flows.workspace import Workspace
from rivals.registry.erasure import tombstones
from rivals.registry.ledger import Entry
from rivals.values import Use

if TYPE_CHECKING:
    from rivals.registry.archive import Archive

DAY = 86_400.0


def check_learning(workspace: Workspace, entries: Sequence[Entry]) -> int:
    """How many states of the endpoint's policy were derived again. Raises ``LedgerError`` where one does not follow.

    Where exposures were erased or are no longer kept, a state is believed, and those after it follow from it.
    """
    mine = [one for one in entries if one.kind in {SET, LEARNED} and one.endpoint == workspace.endpoint.name]
    before, derived, log = None, 0, _Log(workspace)
    for entry in mine:
        said = _said(entry)
        after, whole = _followed(log, entry, before, entry.body["blocks"])
        if whole and after is not None and after.log != entry.body["log"]:
            raise _no(entry, "the decisions its policy learned from, or what was told of them, are not what they were")
        if entry.kind == SET:
            after = set_anew(after, said.use, said.rules, said.bundles, said.revision)
        if after is None or (whole and _bytes(as_json(after.state)) != _bytes(said.state)):
            raise _no(entry, "its state does not follow from the decisions that its policy learned from")
        revision = entry.body["revision"]
        table = workspace.store.table_at(entry.endpoint, revision) if revision else None
        if revision and (table is None or _bytes(table.state) != _bytes(said.state)):
            raise _no(entry, f"revision {revision} of the routing table has not the state that was learned")
        before, derived = said, derived + whole
    if before is not None:
        _check_kept(log, mine[-1], before)
    return derived


def _check_kept(log: _Log, entry: Entry, before: Learned) -> None:
    """What the store has follows from the last entry."""
    kept = learned_of(log.workspace)
    if kept is None:
        raise LedgerError("What the policy has learned is no longer in the store.")
    after, whole = _followed(log, entry, before, kept.blocks)
    if whole and after is not None and (after.log, _bytes(after.state)) != (kept.log, _bytes(kept.state)):
        raise LedgerError(
            f"What the policy has learned does not follow from entry {entry.seq} of the ledger and what came after it."
        )


def _followed(log: _Log, entry: Entry, before: Learned | None, blocks: Iterable[float]) -> tuple[Learned | None, bool]:
    """What is known after these blocks; and whether all of their exposures are still there."""
    after, whole = before, True
    for start in blocks:
        if after is None:
            raise _no(entry, "its policy learned before it was set")
        raw = log.workspace.store.state(lesson_key(log.workspace, start))
        try:
            lesson = msgspec.json.decode(raw or b"", type=Lesson)
        except msgspec.MsgspecError:
            raise _no(entry, f"what was told of its block at {start:.0f} cannot be read") from None
        policy = policy_of(after.use)
        rows = log.rows(start, start + policy.every)
        whole = whole and not log.gone(lesson, rows)
        after = lived(after, lesson, rows, policy, log.shadows)
    return after, whole


class _Log:
    """Closed exposures wherever they are kept; of the archive, one day is held at a time."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.shadows = workspace, Shadows(workspace)
        store, name, capture = workspace.store, workspace.endpoint.name, workspace.endpoint.capture
        self._archive = archive_of(workspace) if capture is not None else None
        self._erased = sorted(one.closed_seq or 0 for one in tombstones(store, name).values())
        self._oldest = (store.latest_time(name) or -math.inf) - capture.keep if capture is not None else -math.inf
        self._day, self._held = -math.inf, list[Row]()

    def rows(self, start: float, end: float) -> list[Row]:
        """Those of the time [start, end), each once, by time and id."""
        if self._archive is None:
            return list(self.workspace.store.closed(self.workspace.endpoint.name, start, end))
        found: list[Row] = []
        for day in range(int(start // DAY), int(-(-end // DAY))):
            if self._day != day:
                self._day, self._held = day, self._read(self._archive, day)
            found += [row for row in self._held if start <= row[1].time < end]
        return found

    def gone(self, lesson: Lesson, rows: Sequence[Row]) -> bool:
        """Whether exposures of the block were erased with their unit, or with their day."""
        place = bisect_left(self._erased, lesson.first)
        if place < len(self._erased) and self._erased[place] <= lesson.last:
            return True
        there = {mark(row[1].id) for row in rows}
        return lesson.start < self._oldest and any(one not in there for one, _, _ in lesson.told)

    def _read(self, archive: Archive, day: int) -> list[Row]:
        found: dict[tuple[str, str], Row] = {}
        for one in archive.between(day * DAY, (day + 1) * DAY):
            exposure = one.exposure
            found[exposure.id, exposure.variant] = (one.closed_seq, exposure, one.label, one.reward, one.inputs)
        return sorted(found.values(), key=lambda row: (row[1].time, row[1].id, row[1].variant))


def _said(entry: Entry) -> Learned:
    body = entry.body
    return Learned(
        msgspec.convert(body["policy"], Use),
        msgspec.convert(body["rules"], Rules),
        body["bundles"],
        body["since"],
        body["state"],
    )


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _no(entry: Entry, why: str) -> LedgerError:
    return LedgerError(f"Entry {entry.seq} of the ledger ({entry.kind}): {why}.")
