"""Telling others what happened to rollouts: signed, in order, at least once, beside judging and never in its way.

The ledger is the outbox: an entry is committed with what it tells of, and every webhook keeps the number of the last
one that was taken. A delivery that fails is tried again, later each time, before any that comes after it. Form and
signature are those of Standard Webhooks (standardwebhooks.com, 1.0.0); ``webhook-id`` is the same at every attempt.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from rivals.errors import RivalsError, StoreAway
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Entry, Ledger
from rivals.spec.project import WebhookSpec
from rivals.values import Phase

log = logging.getLogger("rivals.webhooks")

SECRET = "RIVALS_WEBHOOK_SECRET"  # noqa: S105 -- the variable's name
FIRST, LAST = 1.0, 3_600.0  # seconds before a delivery that failed is tried again: doubled each time
PATIENCE = 10.0  # seconds for a server to say something
PERIOD = 0.5  # seconds between two looks at the ledger
AWAY = 2.0  # and while the store does not answer

NAMES = {
    "rollout.started": "rollout.started",
    "rollout.rollback": "rollout.rolled_back",  # to a revision, with nothing that ran
    "rollout.advance": "rollout.grown",
    "rollout.watched": "rollout.watched",
    "rollout.concluded": "rollout.concluded",
    "rollout.pause": "rollout.paused",
    "rollout.resume": "rollout.resumed",
}
ENDS = {phase.value for phase in Phase if phase.final}
DONE = {"SetRoutes": "rollout.grown", "Notify": "rollout.notice"}


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a webhook was told, and what is in its way."""

    seq: int  # of the ledger's last entry that it took, or that was none of its
    tries: int = 0  # of the next one
    problem: str = ""


@dataclass
class Courier:
    """Brings one webhook what it asked for, entry by entry. Its thread may be late or stuck; nobody waits for it."""

    workspace: Workspace
    hook: WebhookSpec
    first: float = FIRST
    patience: float = PATIENCE
    stopped: threading.Event = field(default_factory=threading.Event)
    leads: Callable[[], bool] = lambda: True  # of several control processes one delivers
    _passed: int = 0  # everything up to here was none of its business, or was taken

    def run(self) -> None:
        """Deliver until stopped."""
        while not self.stopped.is_set():
            wait = PERIOD
            try:
                wait = self.round() if self.leads() else PERIOD
            except StoreAway as error:
                log.info("webhook.waits url=%s reason=%s", _plain(self.hook.url), error)
                wait = AWAY
            except Exception:
                log.exception("webhook.round_failed url=%s", self.hook.url)
            self.stopped.wait(wait)

    def round(self) -> float:
        """Deliver all there is, up to the first that is not taken; returns the seconds to wait."""
        key = secret()
        found = delivered(self.workspace, self.hook)
        if found is None:  # new here: what was before is none of its business
            entries = Ledger(self.workspace.store).entries(self.workspace.endpoint.name)
            self._keep(Delivered(entries[-1].seq if entries else 0))
            return PERIOD
        after = max(found.seq, self._passed)
        for entry in Ledger(self.workspace.store).entries(self.workspace.endpoint.name, after=after):
            if event_of(entry) in wanted(self.hook):
                if problem := send(self.hook.url, message(entry), _id(entry), key, self.patience):
                    found = Delivered(found.seq, found.tries + 1, problem)
                    self._keep(found)
                    log.warning("webhook.refused url=%s tries=%d reason=%s", self.hook.url, found.tries, problem)
                    return min(LAST, self.first * math.pow(2.0, min(found.tries - 1, 20)))
                self._keep(found := Delivered(entry.seq))
            self._passed = entry.seq
            if self.stopped.is_set():
                break
        return PERIOD

    def _keep(self, found: Delivered) -> None:
        with self.workspace.store.transaction() as tx:
            tx.put_state(_key(self.workspace, self.hook), msgspec.json.encode(found))


def couriers(workspace: Workspace, leads: Callable[[], bool]) -> list[tuple[Courier, threading.Thread]]:
    """Start one for every webhook of the project file; none where there is no secret to sign with, and say so.

    They deliver while ``leads`` says so.
    """
    started: list[tuple[Courier, threading.Thread]] = []
    try:
        check_secret(workspace)
    except RivalsError as error:
        log.error("webhooks.off reason=%s", error)  # noqa: TRY400 -- a sentence, not a traceback
        return started
    for hook in workspace.endpoint.webhooks:
        courier = Courier(workspace, hook, leads=leads)
        thread = threading.Thread(target=courier.run, name="webhook", daemon=True)  # a stuck server stops nobody
        thread.start()
        started.append((courier, thread))
    return started


def check_secret(workspace: Workspace) -> None:
    """Raises ``RivalsError`` where the project has webhooks and nothing to sign them with."""
    if workspace.endpoint.webhooks:
        secret()


def delivered(workspace: Workspace, hook: WebhookSpec) -> Delivered | None:
    """How far it was told; None before the first look."""
    raw = workspace.store.state(_key(workspace, hook))
    return msgspec.json.decode(raw, type=Delivered) if raw else None


def webhooks_of(workspace: Workspace) -> list[dict[str, Any]]:
    """Every webhook and what is in its way, for ``status``."""
    return [
        {"url": _plain(hook.url), **msgspec.to_builtins(delivered(workspace, hook) or Delivered(0))}
        for hook in workspace.endpoint.webhooks
    ]


def event_of(entry: Entry) -> str:
    """What an entry of the ledger is called outside."""
    room = entry.kind.partition(".")[0]
    if room in {"fences", "preflight"}:
        return room
    kinds = [one["kind"] for one in entry.body.get("instructions", ())]
    if kinds and (phase := entry.body.get("phase")) in ENDS:
        return f"rollout.{phase}"
    if entry.kind != "rollout.judged":
        return NAMES.get(entry.kind, entry.kind)
    return next((name for kind, name in DONE.items() if kind in kinds), "rollout.judged")


def wanted(hook: WebhookSpec) -> set[str]:
    """The events a webhook asked for; where it named none, all but bare verdicts."""
    every = {*NAMES.values(), *DONE.values(), *(f"rollout.{end}" for end in ENDS), "fences", "preflight"}
    return set(hook.events) or every


def message(entry: Entry) -> bytes:
    """The body: type, time on the endpoint's clock, and the entry as the ledger has it."""
    when = datetime.fromtimestamp(entry.time, UTC).isoformat().replace("+00:00", "Z")
    return msgspec.json.encode({"type": event_of(entry), "timestamp": when, "data": entry})


def secret() -> bytes:
    """The key to sign with, from the environment. Raises ``RivalsError`` where there is none."""
    given = os.environ.get(SECRET, "")
    if not given:
        raise RivalsError(f"Webhooks are signed: set {SECRET}, as 'whsec_' and 24 to 64 random bytes in base64.")
    if not given.startswith("whsec_"):
        return given.encode()
    try:
        return base64.b64decode(given.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise RivalsError(f"{SECRET} begins with 'whsec_', and what follows is not base64.") from None


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def send(url: str, body: bytes, message_id: str, key: bytes, patience: float = PATIENCE) -> str:
    """Post it once; returns what was wrong, empty where a 2xx came. A redirect is not followed: it is a mistake."""
    parts, now = urlsplit(url), int(time.time())
    connect = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers: Mapping[str, str] = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(key, message_id, now, body),
    }
    try:
        connection = connect(parts.hostname or "", parts.port, timeout=patience)
        try:
            connection.request("POST", f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", body, headers)
            status = connection.getresponse().status
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return "" if 200 <= status < 300 else f"it answered {status}"  # noqa: PLR2004 -- what HTTP calls success


def _id(entry: Entry) -> str:
    return f"{entry.endpoint}-{entry.seq}"


def _key(workspace: Workspace, hook: WebhookSpec) -> str:
    return f"webhook/{workspace.endpoint.name}/{hashlib.sha256(hook.url.encode()).hexdigest()[:16]}"


def _plain(url: str) -> str:
    """The URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
