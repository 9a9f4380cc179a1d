"""The fences around an endpoint: may this rollout start, may it grow now, and what its end means for the others.

``flows/rollout.py`` asks here: ``admit`` when a rollout starts, ``fenced`` what a verdict may do now, ``settle`` as a
part of the same transaction. Nothing here holds a rollback.
"""

from __future__ import annotations

import getpass
import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from rivals.decide import fences as rules
from rivals.decide.fences import Fences, Standing
from rivals.decide.rollout import Next, advance
from rivals.errors import Conflict, DataError, RivalsError, RolloutError
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.statistics.fdr import Budget
from rivals.values import Phase, Rollout, Status, Verdict, Version

LASTS = 30 * 86_400.0  # seconds that a preflight counts for
SHARED = "fences"  # the state of the whole store: why everything is held
ALL = ""  # the budget of all endpoints together
_COMPARED: dict[tuple[str, str, str, float], Verdict] = {}


@dataclass(frozen=True, slots=True)
class Check:
    """One part of a preflight. ``passed`` is None where there was too little to say."""

    name: str
    passed: bool | None
    sentence: str


@dataclass(frozen=True, slots=True)
class Preflight:
    """What was checked before an endpoint may act alone; ``config`` is the digest of what it was checked under."""

    time: float
    config: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


def person(by: str = "") -> str:
    """Who gives this command: as they say, or $RIVALS_USER, or the user of the operating system."""
    return by or os.environ.get("RIVALS_USER", "") or getpass.getuser()


# -- asked by flows/rollout.py ------------------------------------------------------------------------------


def admit(tx: Transaction, workspace: Workspace, begun: Rollout, *, force: bool = False) -> Rollout:
    """Let a rollout start, with its level from the error budget. Raises ``RolloutError`` with what is against it."""
    endpoint = workspace.endpoint
    ended = [one for one in workspace.store.rollouts(endpoint.name) if one.phase.final]
    fences = kept(tx.state(_key(endpoint.name)))
    if why := rules.refusal(fences, begun.challenger.variant, ended, begun.started, endpoint.cooldown, force=force):
        raise RolloutError(why)
    if begun.autonomy != "act":
        return begun
    # Its own endpoint's budget and that of the whole store: the false ones are few among both.
    budgets = {name: _budget(tx, name) for name in (endpoint.name, ALL)}
    for name, budget in budgets.items():
        _put(tx, _budget_key(name), budget.begun())
    return replace(begun, alpha=min(budget.level(endpoint.rollout.risk.alpha) for budget in budgets.values()))


def fenced(
    workspace: Workspace, running: Rollout, verdict: Verdict, strictly: Callable[[], Verdict], now: float
) -> Next:
    """What the verdict makes of the rollout, as far as every fence lets it.

    ``strictly`` is the verdict at the level of the error budget, which only a promotion has to meet.
    """
    after, instructions = advance(running, verdict, now)
    if not rules.grows(running, instructions):
        return rules.passed(after), instructions
    if preflight_lacks(workspace, running.started):
        advised, told = advance(replace(running, autonomy="recommend"), verdict, now)
        return replace(advised, autonomy=running.autonomy), told
    stands = standing(workspace, now)
    why = rules.growth(stands)
    if not why and after.phase is Phase.PROMOTED:
        why = _over_budget(running, strictly) or _worse_than_reference(workspace, stands.fences, running)
        why = why or rules.promotion(stands, running, now)
    return rules.hold(running, why, now) if why else (rules.passed(after), instructions)


def settle(tx: Transaction, workspace: Workspace, before: Rollout, after: Rollout, *, by_person: bool) -> None:
    """What the step means for the others: the budget, and whether many endpoints roll back at once.

    Raises ``Conflict`` where somebody froze the endpoint since the step was decided, ``RolloutError`` where a person's
    own command would let a frozen one grow.
    """
    promoted = after.phase is Phase.PROMOTED
    if promoted or after.share > before.share:
        why = rules.growth(Standing(kept(tx.state(_key(after.endpoint))), shared="" if by_person else _shared(tx)))
        if why and by_person:
            raise RolloutError(f"The rollout is {why}.")
        if why:
            raise Conflict(f"The rollout was {why}.")
    if promoted and not by_person and after.alpha is not None:
        for name in (after.endpoint, ALL):
            _put(tx, _budget_key(name), _budget(tx, name).discovered())
    if after.phase is Phase.ROLLED_BACK and not _shared(tx):
        rollbacks = {**workspace.store.rolled_back(), after.endpoint: after.changed}
        if why := rules.shared_cause(rollbacks, after.changed):
            why += "; every rollout on this store is held"
            Ledger(workspace.store).append(tx, after.endpoint, "fences.shared_cause", after.changed, {"reason": why})
            tx.put_state(SHARED, why.encode())


def refuse_quarantined(tx: Transaction, endpoint: str, variant: str) -> None:
    """Raises ``RolloutError`` where a person's command would give traffic to what is in quarantine."""
    if variant in kept(tx.state(_key(endpoint))).quarantined:
        raise RolloutError(f"{variant!r} is in quarantine; `rivals rollout quarantine {variant} --off` comes first.")


# -- what stands --------------------------------------------------------------------------------------------


def standing(workspace: Workspace, now: float) -> Standing:
    """Everything that may hold a rollout at this moment."""
    endpoint, store = workspace.endpoint, workspace.store
    cap = endpoint.promotions
    promoted = [one.changed for one in store.rollouts(endpoint.name) if one.phase is Phase.PROMOTED] if cap else []
    return Standing(
        kept(store.state(_key(endpoint.name))),
        shared=(store.state(SHARED) or b"").decode(),
        windows=tuple(one.text for one in endpoint.windows),
        open=not endpoint.windows or any(one.open(now) for one in endpoint.windows),
        promoted=tuple(promoted),
        per=cap.per if cap else 0.0,
        most=cap.most if cap else None,
        approval=endpoint.approval == "promote",
    )


def told(workspace: Workspace, running: Rollout | None, now: float) -> dict[str, Any]:
    """The fences for ``status``; ``holds`` says in one sentence what holds the rollout, empty where nothing does."""
    stands, store, endpoint = standing(workspace, now), workspace.store, workspace.endpoint
    raw = store.state(_preflight_key(endpoint.name))
    lacks = preflight_lacks(workspace, running.started if running else now)
    held = running.reason if running and running.reason.startswith(rules.HELD) else ""
    growth = rules.growth(stands) or (lacks if endpoint.autonomy == "act" else "")
    pinned = stands.fences.reference
    return {
        "holds": held or (rules.HELD + growth if running and growth else ""),
        "frozen": stands.fences.frozen,
        "shared_cause": stands.shared,
        "quarantined": dict(stands.fences.quarantined),
        "reference": pinned.variant if pinned else endpoint.reference or "",
        "windows": {"are": list(stands.windows), "open": stands.open},
        "preflight": {"passed": not lacks, "lacks": lacks, "last": msgspec.json.decode(raw) if raw else None},
        "alpha": running.alpha if running else None,
    }


def preflight_lacks(workspace: Workspace, started: float) -> str:
    """Why ``autonomy: act`` only recommends a rollout that began then; empty where a passed preflight counted."""
    raw = workspace.store.state(_preflight_key(workspace.endpoint.name))
    last = msgspec.json.decode(raw, type=Preflight) if raw else None
    do = "`rivals rollout preflight` checks what acting alone needs; until then act only recommends"
    if last is None:
        return f"no preflight was done yet; {do}"
    if not last.passed:
        failed = next(check for check in last.checks if not check.passed)
        return f"the last preflight did not pass ({failed.name}: {failed.sentence}); {do}"
    if last.config != config_digest(workspace):
        return f"the endpoint's configuration changed since the last preflight; {do}"
    if started - last.time > LASTS:
        return f"the last preflight was done more than {rules.span(LASTS)} before; {do}"
    return ""


def config_digest(workspace: Workspace) -> str:
    """A name for what a preflight checks: who is randomised, how they are judged, when labels come."""
    endpoint, data = workspace.endpoint, workspace.spec.data
    body = [endpoint.name, endpoint.unit, endpoint.policy, endpoint.rollout.model_dump(), data.task, data.label_delay]
    return hashlib.sha256(msgspec.json.encode(body, order="sorted")).hexdigest()


def keep_preflight(tx: Transaction, workspace: Workspace, found: Preflight) -> None:
    """Keep what a preflight found, in place of the one before."""
    _put(tx, _preflight_key(workspace.endpoint.name), found)


def kept(raw: bytes | None) -> Fences:
    """The fences as they are kept; none before the first."""
    return msgspec.json.decode(raw, type=Fences) if raw else Fences()


def fences_of(workspace: Workspace, tx: Transaction | None = None) -> Fences:
    """The fences around the endpoint; within a transaction, as they are in it."""
    return kept((tx or workspace.store).state(_key(workspace.endpoint.name)))


def put_fences(tx: Transaction, endpoint: str, before: Fences, after: Fences) -> None:
    """Put up or take down. Raises ``Conflict`` where they are no longer as they were seen."""
    if kept(tx.state(_key(endpoint))) != before:
        raise Conflict(f"Somebody else changed the fences of {endpoint!r} first; look again and repeat.")
    _put(tx, _key(endpoint), after)


# -- helpers ------------------------------------------------------------------------------------------------


def _over_budget(running: Rollout, strictly: Callable[[], Verdict]) -> str:
    if running.alpha is None or (verdict := strictly()).status is Status.PASS:
        return ""
    return f"the error budget over all rollouts asks for proof at {running.alpha:.3%}: {verdict.reason}"


def _worse_than_reference(workspace: Workspace, fences: Fences, running: Rollout) -> str:
    name = fences.reference.variant if fences.reference else workspace.endpoint.reference
    if name is None:
        return ""
    try:
        reference = fences.reference or Version(name, workspace.trained(name).digest)
        if reference.digest == running.challenger.digest:
            return ""
        verdict = _compared(workspace, reference, running.challenger)
    except RivalsError as error:  # whatever it is, the judge's loop goes on
        return f"it cannot be compared with the reference {name}: {error}"
    except ModuleNotFoundError as error:
        return f"comparing it with the reference {name} needs the package {error.name!r}"
    return "" if verdict.status is Status.PASS else f"it is not proven good enough: {verdict.reason}"


def _compared(space: Workspace, reference: Version, challenger: Version) -> Verdict:
    """The comparison on held-out rows, once for each pair: it takes seconds, and a held rollout asks every second."""
    key = (str(space.file), reference.digest, challenger.digest, space.endpoint.rollout.risk.margin)
    if key not in _COMPARED:
        _COMPARED[key] = _compare(space, reference, challenger)
    return _COMPARED[key]


def _compare(space: Workspace, reference: Version, challenger: Version) -> Verdict:
    from rivals.decide.compare import Entry, Truth  # noqa: PLC0415 -- serving needs none of it
    from rivals.decide.reference import not_worse  # noqa: PLC0415
    from rivals.flows.compare import banked  # noqa: PLC0415
    from rivals.observe.outcomes import LOSSES  # noqa: PLC0415

    built = {one.digest: one for one in space.store.known_wishes().values()}
    if missing := [one.variant for one in (reference, challenger) if one.digest not in built]:
        raise DataError(f"nothing is known of how {missing[0]} was built.")
    ours, theirs = (banked(space, built[one.digest]) for one in (reference, challenger))
    if [*ours.ids] != [*theirs.ids]:
        raise DataError("they were built on other rows; `rivals train` both on the same, then pin the reference again.")
    wish, spec = space.endpoint.rollout, space.spec
    name = wish.metric or ("squared" if spec.data.answers == "regression" else "brier")
    return not_worse(
        Entry(reference.variant, ours.outputs),
        Entry(challenger.variant, theirs.outputs),
        Truth(ours.target.astype(float), ours.weight, ours.time, ours.group),
        lambda target, outputs: LOSSES[name](target, outputs, math.inf),
        wish.risk.margin,
        name=name,
        seed=spec.seed,
    )


def _shared(tx: Transaction) -> str:
    return (tx.state(SHARED) or b"").decode()


def _budget(tx: Transaction, endpoint: str) -> Budget:
    raw = tx.state(_budget_key(endpoint))
    return msgspec.json.decode(raw, type=Budget) if raw else Budget()


def _put(tx: Transaction, key: str, value: object) -> None:
    tx.put_state(key, msgspec.json.encode(value))


def _key(endpoint: str) -> str:
    return f"fences/{endpoint}"


def _budget_key(endpoint: str) -> str:
    return f"budget/{endpoint}"


def _preflight_key(endpoint: str) -> str:
    return f"preflight/{endpoint}"
