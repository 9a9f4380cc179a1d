"""Check the ledger: its chain, and every verdict derived once more from the exposures and labels it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from rivals.decide.analysis import analyse
from rivals.decide.fences import grows
from rivals.decide.rollout import advance
from rivals.errors import LedgerError
from rivals.flows.derive import Looked, Settled, as_settled, history, judged, mark, pairs_of, settled_key, taken
from rivals.flows.judges import judge_of
from rivals.flows.relearn import check_learning
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import Rules, begin, evidence
from rivals.protocols import Judge
from rivals.registry.erasure import tombstones
from rivals.registry.ledger import TABLE, Entry, Ledger, table_digest
from rivals.values import Evidence, Exposure, Pair, Rollout, Use, Verdict


def verify_ledger(workspace: Workspace) -> dict[str, Any]:
    """Recompute what the ledger says: how many entries there are, how many verdicts were derived again, and the head.

    A rollout is judged by the rules and judges it began with, as the ledger has them: a later change of the project
    file changes no history. ``erased`` counts verdicts whose exposures a unit's erasure has taken: their evidence is
    judged again, but not derived. ``learned`` counts states of a policy that were derived again. Raises ``LedgerError``
    naming the first entry that does not follow.
    """
    ledger = Ledger(workspace.store)
    head = ledger.verify()
    entries, retold = ledger.entries(tables=True), dict[str, _Retold]()
    counts = {"judged": 0, "derived": 0, "erased": 0}
    for entry in entries:
        name = entry.body.get("rollout", "")
        if entry.kind in {"rollout.started", "rollout.watched"} and "rules" in entry.body:
            with _readable(entry):
                retold[name] = _Retold.of(workspace, entry)
        if entry.body.get("evidence") is not None:
            check_digest(entry)
            if name in retold:
                counts["judged"] += 1
                with _readable(entry):
                    counts["derived" if retold[name].check(entry) else "erased"] += 1
        elif name in retold and "rollout_after" in entry.body:
            retold[name].rollout = _rollout(entry)
    _check_tables(workspace, entries)
    learned = check_learning(workspace, entries)
    for name, one in retold.items():
        if _kept(workspace, name) != one.rollout:
            raise LedgerError(f"Rollout {name} in the store is not the one that the ledger's last entry on it left.")
    return {"entries": len(entries), **counts, "learned": learned, "head": head}


def _check_tables(workspace: Workspace, entries: list[Entry]) -> None:
    """Every routing table is as it was when the ledger was told of it."""
    told = {(one.endpoint, one.body["revision"]): one for one in entries if one.kind == TABLE}
    kept = {(endpoint, revision): body for endpoint, revision, body in workspace.store.table_bodies()}
    for (endpoint, revision), entry in told.items():
        if table_digest(kept.get((endpoint, revision), "")) != entry.body["digest"]:
            raise _no(entry, f"revision {revision} of {endpoint}'s routing table is not what was written")


def _kept(workspace: Workspace, name: str) -> Rollout | None:
    try:
        return workspace.store.rollout(name)
    except msgspec.MsgspecError:
        return None


@contextmanager
def _readable(entry: Entry) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, msgspec.MsgspecError) as error:
        raise _no(entry, f"what it was made from cannot be read ({error})") from error


def check_digest(entry: Entry) -> None:
    """The digest of an entry's evidence is that of its evidence. Raises ``LedgerError``."""
    if evidence_digest(entry.body["evidence"]) != entry.body.get("evidence_digest"):
        raise _no(entry, "its evidence is not the one its digest was taken of")


def evidence_digest(evidence: Any) -> str:
    """SHA-256, in hex, of the evidence as JSON with its keys sorted."""
    return hashlib.sha256(msgspec.json.encode(evidence, order="sorted")).hexdigest()


@dataclass
class _Retold:
    """A rollout, told again from what the store has."""

    workspace: Workspace
    rollout: Rollout
    rules: Rules
    judges: list[Judge]
    looked: Looked
    gone: list[int]  # closing numbers of exposures that were erased
    _closed: Iterator[tuple[int, Exposure]] = field(default_factory=lambda: iter(()))
    _next: tuple[int, Exposure] | None = None

    @classmethod
    def of(cls, workspace: Workspace, entry: Entry) -> _Retold:
        """As it began."""
        body, rollout = entry.body, _rollout(entry)
        judges = [judge_of(use) for use in msgspec.convert(body["judges"], list[Use])]
        state = begin(rollout, cursor=body["cursor"], tau_ms=body["slow_ms"])
        gone = [one.closed_seq for one in tombstones(workspace.store, rollout.endpoint).values() if one.closed_seq]
        told = cls(workspace, rollout, msgspec.convert(body["rules"], Rules), judges, Looked(state), gone)
        told._closed = history(workspace, rollout, body["cursor"])
        told._next = next(told._closed, None)
        return told

    def check(self, entry: Entry) -> bool:
        """Derive the entry; False where erased exposures leave only its evidence to judge. Raises ``LedgerError``."""
        before, after = self.rollout, _rollout(entry)
        found = msgspec.convert(entry.body["evidence"], Evidence)
        span = range(self.looked.state.cursor + 1, entry.body["taken"]["cursor"] + 1)
        whole = self.looked.log != _LOST and not any(seq in span for seq in self.gone)
        if whole:
            self._advance(entry)
            again = evidence(self.looked.state, before, found.now)
            if _bytes(again) != _bytes(entry.body["evidence"]):
                raise _no(entry, "its evidence does not follow from the exposures and labels it was made from")
        else:
            self.looked = Looked(self.looked.state, _LOST)
        verdict = analyse(found, self.judges)
        if _bytes(verdict) != _bytes(entry.body["verdict"]):
            raise _no(entry, "its evidence does not lead to its verdict")
        self._check_step(entry, before, after, verdict, found.now)
        self.rollout = after
        return whole

    def _check_step(self, entry: Entry, before: Rollout, after: Rollout, verdict: Verdict, now: float) -> None:
        """What was done follows from the verdict; a fence may have held it back, but never urged it on."""
        derived, instructions = advance(before, verdict, now)
        said = [{"kind": type(one).__name__, **msgspec.to_builtins(one)} for one in instructions]
        if _bytes(said) == _bytes(entry.body["instructions"]) and _same(derived, after):
            return
        if grows(before, instructions) and after.share <= before.share and not after.phase.final:
            return
        raise _no(entry, "what was done does not follow from its verdict")

    def _advance(self, entry: Entry) -> None:
        """Take in what the entry was judged on, and compare the chain."""
        body, state, log = entry.body["taken"], self.looked.state, self.looked.log
        now = float(entry.body["evidence"]["now"])
        closed = []
        while self._next is not None and self._next[0] <= body["cursor"]:
            closed.append(self._next)
            self._next = next(self._closed, None)
        first = state.cursor
        if closed:
            state, log = taken(state, log, closed, now, self.rules)
        for start in body["blocks"]:
            block = self._settled(entry, start)
            state, log = judged(state, log, block, self._pairs(entry, block), now, self.rules)
        if log != body["log"]:
            raise _no(
                entry,
                f"the exposures it was judged on (closed as number {first + 1} to {body['cursor']}), or the labels, "
                "are not what they were",
            )
        self.looked = Looked(state, log)

    def _settled(self, entry: Entry, start: float) -> Settled:
        raw = self.workspace.store.state(settled_key(self.rollout.id, start))
        try:
            return msgspec.json.decode(raw or b"", type=Settled)
        except msgspec.MsgspecError:
            raise _no(entry, f"the labels of its block at {start:.0f} cannot be read") from None

    def _pairs(self, entry: Entry, block: Settled) -> list[Pair]:
        pairs = pairs_of(self.workspace, self.rollout, block.start, block.start + self.rules.block)
        known = dict(block.labels)
        for one in pairs:
            was = known.get(mark(one.id))
            if one.label is None and was is not None and self.workspace.store.never_told(one.id, one.time):
                raise _no(entry, f"the label of {one.id} was {was!r} when it was judged, and was deleted since")
            if one.label is not None and was is not None and was != one.label:
                raise _no(entry, f"the label of {one.id} was {was!r} when it was judged, and is {one.label!r} now")
        return list(as_settled(block, pairs))


_LOST = "erased"  # stands for a chain that cannot be followed any more


def _rollout(entry: Entry) -> Rollout:
    return msgspec.convert(entry.body["rollout_after"], Rollout)


def _same(derived: Rollout, after: Rollout) -> bool:
    """The same step; what holds or held it is told in words of the fences."""
    return (derived.phase, derived.step, derived.changed) == (after.phase, after.step, after.changed)


def _bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def _no(entry: Entry, why: str) -> LedgerError:
    return LedgerError(f"Entry {entry.seq} of the ledger ({entry.kind}): {why}.")
