"""The judge for anyone: posted counts in, a verdict out, in the shapes that Argo Rollouts and Flagger read.

A body is one of three, numbers may be written as strings (as both tools write their arguments)::

    {"analysis": "shop/cart", "champion": {"asked": 900, "failed": 9}, "challenger": {"asked": 99, "failed": 1},
     "share": 0.1}
    {"analysis": "shop/cart", "post": 7, "exposures": [
     {"variant": "challenger", "failed": false, "share": 0.1, "unit": "u1"}]}
    {"name": "cart", "namespace": "shop", "phase": "Progressing", "checksum": "85d557f47b",
     "metadata": {"hook": "rollout"}}

The first is cumulative and may be posted as often as one likes; the second has what is new since the last ``post``;
the third is Flagger's webhook, with counts in its metadata (``champion.asked`` and so on) or, as metadata stands still
in a Canary, with the counts that somebody else posted under ``<namespace>/<name>``.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import msgspec

from rivals.decide.verdict import Analysis, Exposure, Rules, Tally, add_counts, add_exposures, judged, renewed
from rivals.errors import DataError, RivalsError
from rivals.registry.store import Store
from rivals.values import Status, Verdict

GO, HALT, WAIT = 200, 412, 425  # Flagger goes on at 2xx only; the two others tell proven harm from too little evidence
LONGEST = 200  # characters of an analysis' name
ENDINGS = {"ok": False, "error": True, "deadline": True, "shed": True, "lost": True}  # of an exposure: has it failed?

# Which hook goes on at which verdict. Flagger rolls back when a 'rollback' hook answers 2xx.
HOOKS: Mapping[str, frozenset[Status]] = {
    "confirm-rollout": frozenset({Status.PASS, Status.INCONCLUSIVE}),
    "pre-rollout": frozenset({Status.PASS, Status.INCONCLUSIVE}),
    "rollout": frozenset({Status.PASS, Status.INCONCLUSIVE}),
    "confirm-traffic-increase": frozenset({Status.PASS}),
    "confirm-promotion": frozenset({Status.PASS}),
    "rollback": frozenset({Status.FAIL}),
    "post-rollout": frozenset(Status),
    "event": frozenset(Status),
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out: an HTTP status and a body."""

    status: int
    body: dict[str, Any]


class Bench:
    """Judges posted evidence; every analysis is kept in the store, so a restart forgets nothing."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._lock = threading.Lock()

    def post(self, body: Any, query: Mapping[str, str]) -> Reply:
        """Take in a body and judge. Raises ``DataError`` with one sentence where it cannot be read."""
        if not isinstance(body, dict):
            raise DataError(
                'The body is a JSON object, as {"analysis": ..., "champion": ..., "challenger": ..., "share": ...}.'
            )
        if "name" in body and "namespace" in body:
            return self._flagger(body, query)
        return self._reply(self._take(_name(body.get("analysis", query.get("analysis"))), body), GO)

    def get(self, query: Mapping[str, str]) -> Reply:
        """Judge what was posted before; Argo's default is GET."""
        name = _name(query.get("analysis"))
        if (analysis := self._known(name)) is None:
            raise DataError(f"Nothing was posted for the analysis {name!r} yet.")
        return self._reply((name, analysis), GO)

    def _flagger(self, body: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        metadata = body.get("metadata") or {}
        if not isinstance(metadata, dict):
            raise DataError("metadata is an object of strings.")
        hook = metadata.get("hook", query.get("hook"))
        if hook is not None and hook not in HOOKS:
            raise DataError(f"There is no hook {hook!r}; Flagger has {', '.join(HOOKS)}.")
        name = _name(metadata.get("analysis", f"{body['namespace']}/{body.get('name')}"))
        checksum = str(body.get("checksum") or "")
        found = self._take(name, _unfolded(metadata), checksum)
        status = judged(found[1], self._clock()).status
        # Without a word on the hook, only proof goes on.
        go = status in HOOKS[hook] if hook else status is Status.PASS
        return self._reply(found, GO if go else HALT if status in {Status.FAIL, Status.PASS} else WAIT)

    def _take(self, name: str, body: Mapping[str, Any], checksum: str = "") -> tuple[str, Analysis]:
        """Advance an analysis by a body; one after the other, and kept before anybody hears of it."""
        with self._lock, self._store.transaction() as tx:
            before = self._known(name)
            analysis = before or Analysis(_rules(body, Rules()), checksum)
            if _rules(body, analysis.rules) != analysis.rules:
                raise DataError("The rules of an analysis are fixed with its first post; use a new analysis name.")
            if checksum and checksum != analysis.checksum:
                # The first checksum names what was counted so far; another one is another rollout.
                analysis = renewed(analysis, checksum) if analysis.checksum else replace(analysis, checksum=checksum)
            analysis = _advanced(analysis, body, self._clock())
            if analysis != before:
                tx.put_state(f"analysis/{name}", msgspec.json.encode(analysis))
        return name, analysis

    def _known(self, name: str) -> Analysis | None:
        raw = self._store.state(f"analysis/{name}")
        return msgspec.json.decode(raw, type=Analysis) if raw else None

    def _reply(self, found: tuple[str, Analysis], status: int) -> Reply:
        name, analysis = found
        return Reply(status, answer(name, analysis, judged(analysis, self._clock())))


def answer(name: str, analysis: Analysis, verdict: Verdict) -> dict[str, Any]:
    """The body: ``verdict`` is what Argo's conditions read, or ``data`` as its documentation does it.

    ``jsonPath: "{$.verdict}"``, ``successCondition: result == "pass"``, ``failureCondition: result == "fail"``; or
    ``"{$.data}"`` with ``result.ok`` and ``result.failed``. Write both conditions: what meets neither is inconclusive.
    """
    ok, failed = verdict.status is Status.PASS, verdict.status is Status.FAIL
    arms = dict(zip(("champion", "challenger"), analysis.met, strict=True))
    evidence = ("harm", "noninferior", "over_limit", "under_limit", "mismatch")
    return {
        "analysis": name,
        "verdict": verdict.status.value,
        "reason": f"The challenger: {verdict.reason}.",
        "data": {"ok": ok, "failed": failed},
        "log_e": {key: verdict.figures[key] for key in evidence if key in verdict.figures},
        "needed": math.log(2 / analysis.rules.alpha),
        "counts": {arm: {"asked": tally.asked, "failed": tally.failed} for arm, tally in arms.items()},
        "share": analysis.share,
    }


def open_bench(path: Path, host: str, clock: Callable[[], float]) -> Bench:
    """A bench of its own, without a project. Raises ``RivalsError`` on a host that is open to others."""
    if host not in {"127.0.0.1", "::1", "localhost"} and not os.environ.get("RIVALS_TOKEN"):
        raise RivalsError(f"--host {host} is open to others; set RIVALS_TOKEN first, or listen on loopback.")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Bench(Store(f"sqlite:///{path.resolve()}"), clock)


def _advanced(analysis: Analysis, body: Mapping[str, Any], now: float) -> Analysis:
    if "exposures" in body:
        rows = body["exposures"]
        if not isinstance(rows, list):
            raise DataError("exposures is a list of objects.")
        number = _whole(body.get("post"), "post (it counts the batches of exposures from 1 up)")
        return add_exposures(analysis, [_exposure(row, at) for at, row in enumerate(rows)], number, now)
    if "champion" not in body and "challenger" not in body:
        return analysis
    share = _number(body["share"], "share") if "share" in body else analysis.share
    return add_counts(analysis, _tally(body, "champion"), _tally(body, "challenger"), share, now)


def _rules(body: Mapping[str, Any], known: Rules) -> Rules:
    """The rules in force, with what a body says about them."""
    said = {
        field.name: _number(body[field.name], field.name) for field in fields(Rules) if body.get(field.name) is not None
    }
    return replace(known, **said)


def _tally(body: Mapping[str, Any], arm: str) -> Tally:
    counts = body.get(arm)
    if not isinstance(counts, dict):
        raise DataError(f'{arm} is {{"asked": ..., "failed": ...}}; both arms are needed, for they are compared.')
    tally = Tally(_whole(counts.get("asked"), f"{arm}.asked"), _whole(counts.get("failed"), f"{arm}.failed"))
    if tally.failed > tally.asked:
        raise DataError(f"{arm}: {tally.failed} of {tally.asked} cannot have failed.")
    return tally


def _exposure(row: Any, at: int) -> Exposure:
    if not isinstance(row, dict) or row.get("variant") not in {"champion", "challenger"}:
        raise DataError(f"exposures[{at}] is an object whose variant is champion or challenger.")
    failed = row.get("failed", ENDINGS.get(str(row.get("outcome"))))
    if not isinstance(failed, bool):
        raise DataError(f"exposures[{at}] says failed (true or false) or outcome ({', '.join(ENDINGS)}).")
    share = _number(row.get("share"), f"exposures[{at}].share")
    return Exposure(row["variant"] == "challenger", failed, share, str(row.get("unit", "")))


def _unfolded(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Flat keys as a body: ``champion.asked`` becomes ``{"champion": {"asked": ...}}``."""
    body: dict[str, Any] = {}
    for key, value in metadata.items():
        arm, dot, name = key.partition(".")
        if dot and arm in {"champion", "challenger"}:
            body.setdefault(arm, {})[name] = value
        elif key in {"share", *(field.name for field in fields(Rules))}:
            body[key] = value
    return body


def _name(given: Any) -> str:
    if not isinstance(given, str) or not 0 < len(given) <= LONGEST:
        raise DataError(
            f"analysis names what is judged, in at most {LONGEST} characters, as 'namespace/rollout/revision'."
        )
    return given


def _number(given: Any, what: str) -> float:
    """A finite number, or a string that reads as one."""
    try:
        number = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{what} is a number, not {given!r}.")
    return number


def _whole(given: Any, what: str) -> int:
    number = _number(given, what)
    if number < 0 or number != int(number) or number >= 2**53:
        raise DataError(f"{what} is a whole number from 0 up, not {given!r}.")
    return int(number)
