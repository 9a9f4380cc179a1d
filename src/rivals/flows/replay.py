"""What was decided, step by step; and what another policy would have decided from the very same log."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import yaml
from pydantic import ValidationError

from rivals.decide import rollout as rules_of
from rivals.decide.analysis import analyse
from rivals.errors import RolloutError, SpecError
from rivals.flows.begin import rules_for
from rivals.flows.derive import Settled, as_settled, history, judged, pairs_of, settled_key, taken
from rivals.flows.judges import judge_of, wished
from rivals.flows.verify import verify_ledger
from rivals.flows.workspace import Workspace
from rivals.observe.evidence import EvidenceState, Rules, begin, due, evidence
from rivals.protocols import Judge
from rivals.registry.ledger import Entry, Ledger
from rivals.spec.project import RolloutSpec
from rivals.values import Exposure, Phase, Rollout

LOOKS = 3_000  # of another policy at one rollout, at most; the real one looks every second


@dataclass(frozen=True, slots=True)
class Step:
    """Where a rollout went, when and why. ``beyond``: it rests on traffic that was split otherwise than it asks for."""

    time: float
    phase: str
    share: float
    reason: str
    beyond: bool = False


@dataclass(frozen=True, slots=True)
class Replayed:
    """One rollout: what was decided, and what another policy would have; empty where none was asked about."""

    rollout: str
    champion: str
    challenger: str
    decided: tuple[Step, ...]
    would: tuple[Step, ...] = ()
    sentence: str = ""


def replay(workspace: Workspace, policy: Path | None = None, rollout: str = "") -> list[Replayed]:
    """Every rollout of the endpoint, or the one of that id or challenger; with ``policy``, what it would have decided.

    ``policy`` is a YAML file with keys of ``endpoint.rollout``; the project's own where it says nothing. It is asked as
    if it acted alone, without fences and without people. First the ledger is verified: raises ``LedgerError`` where it
    is not as it was, ``SpecError`` where the policy is none.
    """
    verify_ledger(workspace)
    asked = with_policy(workspace, policy) if policy else None
    entries: dict[str, list[Entry]] = {}
    for entry in Ledger(workspace.store).entries(workspace.endpoint.name):
        if "rollout_after" in entry.body:
            entries.setdefault(entry.body["rollout"], []).append(entry)
    found = []
    for name, mine in entries.items():
        first = msgspec.convert(mine[0].body["rollout_after"], Rollout)
        if rollout in {"", name, first.challenger.variant}:
            found.append(_replayed(asked, first, mine))
    if not found:
        raise RolloutError(f"No rollout {rollout!r} is in the ledger." if rollout else "No rollout was ever started.")
    return found


def with_policy(workspace: Workspace, policy: Path) -> Workspace:
    """The same project with another policy. Raises ``SpecError``."""
    try:
        raw = yaml.safe_load(policy.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"{policy}: the policy cannot be read: {error}") from None
    raw = raw.get("rollout", raw) if isinstance(raw, Mapping) else raw
    if not isinstance(raw, Mapping):
        raise SpecError(f"{policy}: a policy has keys of endpoint.rollout, as 'steps: [10%, 50%]'.")
    endpoint = workspace.endpoint
    kept = {name: getattr(endpoint.rollout, name) for name in RolloutSpec.model_fields}
    risk = {**kept["risk"].model_dump(), **raw["risk"]} if isinstance(raw.get("risk"), Mapping) else kept["risk"]
    try:
        wish = RolloutSpec.model_validate({**kept, **raw, "risk": risk})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the policy"
        raise SpecError(f"{policy}: {where}: {first['msg'].removeprefix('Value error, ')}") from None
    changed = endpoint.model_copy(update={"rollout": wish})
    return replace(workspace, spec=workspace.spec.model_copy(update={"endpoint": changed}))


def _replayed(asked: Workspace | None, first: Rollout, entries: Sequence[Entry]) -> Replayed:
    decided = tuple(_steps(entries))
    names = (first.id, first.champion.variant, first.challenger.variant)
    if asked is None or first.strategy == "watch" or "rules" not in entries[0].body:
        return Replayed(*names, decided)
    would = tuple(_Other.of(asked, first, entries).steps())
    return Replayed(*names, decided, would, _sentence(decided[-1], would[-1]))


def _steps(entries: Sequence[Entry]) -> Iterator[Step]:
    last: tuple[str, float] | None = None
    for entry in entries:
        after = msgspec.convert(entry.body["rollout_after"], Rollout)
        if (after.phase.value, after.share) != last:
            last = (after.phase.value, after.share)
            verdict = entry.body.get("verdict") or {}
            yield Step(entry.time, *last, after.reason or verdict.get("reason", "") or entry.kind)


@dataclass
class _Other:
    """Another policy on its way through the log of a rollout."""

    workspace: Workspace
    rollout: Rollout
    rules: Rules
    judges: Sequence[Judge]
    state: EvidenceState
    logged: list[tuple[float, float]]  # the share that was in force, from when on
    until: float  # when the log ends
    log: str = field(default="")

    @classmethod
    def of(cls, workspace: Workspace, first: Rollout, entries: Sequence[Entry]) -> _Other:
        """At the beginning."""
        wish, body = workspace.endpoint.rollout, entries[0].body
        begun = rules_of.start(
            endpoint=first.endpoint, champion=first.champion, challenger=first.challenger,
            steps=(first.steps if wish.strategy == "ab" and first.strategy == "ab" else wish.steps),
            every=wish.every, deadline=wish.deadline, autonomy="act", now=first.started,
            base_revision=first.base_revision, strategy=wish.strategy,
        )  # fmt: skip
        uses = wished(workspace, wish.strategy)
        rules = rules_for(workspace, begun, uses)
        state = begin(begun, cursor=body["cursor"], tau_ms=body["slow_ms"])
        shares = [(entry.time, msgspec.convert(entry.body["rollout_after"], Rollout).share) for entry in entries]
        judges = [judge_of(use) for use in uses]
        return cls(workspace, begun, rules, judges, state, shares, entries[-1].time)

    def steps(self) -> Iterator[Step]:
        """Where it goes, up to its end or that of the log."""
        began = self.rollout.started
        yield Step(began, self.rollout.phase.value, self.rollout.share, "it would begin", self._beyond(began))
        period = max(1.0, (self.until - began) / LOOKS)
        closed, held = history(self.workspace, self.rollout, self.state.cursor), list[tuple[int, Exposure]]()
        now, beyond = began, False
        for one in closed:
            held.append(one)
            if one[1].time > self.until:
                break
            if one[1].time >= now + period:
                now = one[1].time
                beyond = beyond or self._beyond(now)
                if step := self._look(held, now, beyond):
                    yield step
                    if self.rollout.phase.final:
                        return
                held = []
        beyond = beyond or self._beyond(self.until)
        if step := self._look([one for one in held if one[1].time <= self.until], self.until, beyond):
            yield step
        if not self.rollout.phase.final:
            yield Step(self.until, self.rollout.phase.value, self.rollout.share, "the log ends here", beyond=True)

    def _look(self, held: Sequence[tuple[int, Exposure]], now: float, beyond: bool) -> Step | None:
        if held:
            self.state, self.log = taken(self.state, self.log, held, now, self.rules)
        for start in due(self.state, now, self.rules):
            block, pairs = self._block(start)
            self.state, self.log = judged(self.state, self.log, block, pairs, now, self.rules)
        verdict = analyse(evidence(self.state, self.rollout, now), self.judges)
        before = self.rollout
        self.rollout, _ = rules_of.advance(before, verdict, now)
        if (before.phase, before.share) == (self.rollout.phase, self.rollout.share):
            return None
        reason = self.rollout.reason or verdict.reason
        return Step(now, self.rollout.phase.value, self.rollout.share, reason, beyond)

    def _block(self, start: float) -> tuple[Settled, list[Any]]:
        """A block with the labels it was judged on, where it was; else with those known by now."""
        end = start + self.rules.block
        pairs = pairs_of(self.workspace, self.rollout, start, end)
        raw = self.workspace.store.state(settled_key(self.rollout.id, start))
        if raw is not None and self.rules.block == self._block_then():
            block = msgspec.json.decode(raw, type=Settled)
            return block, list(as_settled(block, pairs))
        rewards = self.workspace.store.rewarded(self.rollout.endpoint, start, end) if self.rules.reward else ()
        return Settled(start, (), rewards), pairs

    def _block_then(self) -> float:
        raw = self.workspace.store.state(f"rules/{self.rollout.id}")
        return msgspec.json.decode(raw, type=Rules).block if raw else float("nan")

    def _beyond(self, now: float) -> bool:
        """Whether the log had another split right before that time than this policy asks for."""
        then = [share for time, share in self.logged if time < now]
        return (then[-1] if then else 0.0) != self.rollout.share


def _sentence(decided: Step, would: Step) -> str:
    ended = {phase.value for phase in Phase if phase.final}
    said = f"it {_told(decided)}; this policy would have it {_told(would)}"
    same = decided.phase == would.phase and decided.phase in ended
    return said + (", the same" if same else "") + (", beyond the log" if would.beyond else "")


def _told(step: Step) -> str:
    return f"{step.phase.replace('_', ' ')} ({step.share:.0%})" if step.share else step.phase.replace("_", " ")
