"""From the files in the run directory to what a worker answers from: load first, swap second, forget third.

The control process writes ``endpoint.json`` (EndpointConfig), ``table.json`` (RoutingTable) and ``lease.json`` (Lease),
each replaced as a whole; every worker looks at them again and again. So no request meets an absent version, and
workers need nobody to go on answering.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from rivals.bundles import read_manifest
from rivals.errors import BundleError, RivalsError
from rivals.plugins import make
from rivals.protocols import Policy, Predictor
from rivals.serve.aside import Aside
from rivals.serve.inputs import Inputs, merged
from rivals.serve.loading import Loading
from rivals.serve.question import Answerer, Asked, Serving, alone, answering, digests, shadowing
from rivals.serve.runtimes import open_bundle, open_placed
from rivals.serve.runtimes.remote import Absent, RemotePredictor
from rivals.serve.shelf import Shelf, Shelved
from rivals.values import SLOTS, Column, RoutingTable, Task

log = logging.getLogger("rivals.reconcile")

RETRY = 1.0  # seconds until a table that could not be loaded is tried again

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """What an endpoint promises its clients, whichever variant answers.

    ``unit`` is "request", a column, or "header:<name>". ``columns`` are asked of every request, beside the inputs of
    the loaded variants; ``time``, ``id``, ``extra`` and the unit's column may come with them.
    """

    name: str
    task: Task
    unit: str = "request"
    time: str | None = None
    id: str | None = None
    columns: tuple[Column, ...] = ()
    extra: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()  # columns that quality is watched by
    max_body_bytes: int = 16 << 20
    clock: Literal["wall", "replay"] = "wall"
    signed: bool = False  # feedback needs the token of its answer
    rating: tuple[float, float] | None = None  # the range of a rating
    keep: float = 30 * 86_400.0  # seconds that a token is good, and the archive keeps its days
    capture: float = 0.0  # share of the requests whose inputs are kept
    redact: tuple[str, ...] = ()  # columns that are kept of none
    memory_mb: int = 8192  # that a variant in a process of its own may keep
    traced: bool = False  # every request has a trace
    shelf_mb: int | None = None  # for variants that rules alone name, in each worker; None: all stay open
    asked: Mapping[str, Asked] = field(default_factory=dict)  # how single variants are asked
    fallback: tuple[str, ...] = ()  # who answers where the champion fails too
    cors: tuple[str, ...] = ()  # origins whose pages may ask from a browser; "*" is any
    access_log: bool = False
    recorded: bool = True  # exposures and feedback are written down

    @property
    def unit_header(self) -> str:
        """The header that names the unit, if there is one beside X-Rivals-Unit."""
        return self.unit.removeprefix("header:") if self.unit.startswith("header:") else ""

    @property
    def unit_column(self) -> str | None:
        """The column that names the unit, if there is one."""
        return None if self.unit == "request" or self.unit_header else self.unit


@dataclass(frozen=True, slots=True)
class Lease:
    """Until when anybody but the champion may be asked: CLOCK_MONOTONIC of one boot of the machine."""

    boot: str
    until: float


# -- what the control process writes -----------------------------------------------------------------------


def publish_endpoint(run_dir: Path, config: EndpointConfig) -> None:
    """Let the workers know what the endpoint promises; they read it when they start."""
    _replace(run_dir / "endpoint.json", config)


def read_endpoint(run_dir: Path) -> EndpointConfig | None:
    """The endpoint as it was last served; None if it never was. Raises ``RivalsError`` where it is damaged."""
    return _read(run_dir / "endpoint.json", EndpointConfig)


def publish_table(run_dir: Path, table: RoutingTable) -> None:
    """Let the workers obey this table. They load what it needs first."""
    _replace(run_dir / "table.json", table)


def read_table(run_dir: Path) -> RoutingTable | None:
    """The table as it was last published; None if none was. Raises ``RivalsError`` where it is damaged."""
    return _read(run_dir / "table.json", RoutingTable)


def publish_lease(run_dir: Path, seconds: float) -> None:
    """Let challengers be asked for so long from now; 0 ends it."""
    _replace(run_dir / "lease.json", Lease(_boot(), time.monotonic() + seconds))


# -- what a worker says of itself --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The revision a worker answers from."""

    pid: int
    revision: int


def publish_obeyed(run_dir: Path, slot: int, revision: int) -> None:
    """Let others see which table this worker obeys."""
    _replace(run_dir / f"worker-{slot}.json", Obeyed(os.getpid(), revision))


def read_obeyed(run_dir: Path) -> list[Obeyed]:
    """The workers that run, and the revision each of them answers from."""
    return list(obeyed_by_slot(run_dir).values())


def obeyed_by_slot(run_dir: Path) -> dict[str, Obeyed]:
    """Likewise, by worker slot."""
    found = {path.stem.removeprefix("worker-"): _read(path, Obeyed) for path in sorted(run_dir.glob("worker-*.json"))}
    return {slot: one for slot, one in found.items() if one is not None and Path(f"/proc/{one.pid}").exists()}


# -- what a worker does with it ------------------------------------------------------------------------------


@dataclass
class Reconciler:
    """What a worker should answer from, as the run directory has it. ``problem`` says why it is not, if so."""

    run_dir: Path
    bundles: Path
    config: EndpointConfig
    places: Mapping[str, str] = field(default_factory=dict)  # by variant: the URL of the server that answers for it
    token: str = ""  # that these servers are shown
    lease_until: float = -math.inf  # time.monotonic()
    problem: str = "no table was published yet"
    _predictors: Mapping[str, Predictor] = field(default_factory=dict)  # by digest: those in use
    _children: Mapping[str, Aside] = field(default_factory=dict)  # by digest: likewise, in processes of their own
    _asides: Mapping[tuple[str, str], Aside] = field(default_factory=dict)  # by variant and digest: likewise
    _placed: Mapping[tuple[str, str], RemotePredictor] = field(default_factory=dict)  # by variant and digest
    _shelf: Shelf = field(default_factory=lambda: Shelf(0))
    _shelved: Mapping[str, Shelved] = field(default_factory=dict)  # by digest
    _seen: dict[str, tuple[int, ...]] = field(default_factory=dict)
    _retry: float = math.inf

    async def look(self) -> Serving | None:
        """What is new and loaded; None: nothing. A table that cannot be loaded is told and tried again."""
        try:
            if self._changed("lease.json"):
                lease = _read(self.run_dir / "lease.json", Lease)
                self.lease_until = lease.until if lease and lease.boot == _boot() else -math.inf
            if self._changed("table.json") or time.monotonic() > self._retry:
                return await asyncio.to_thread(self._obey)
        except RivalsError as error:
            self._tell(error)
        except Exception as error:  # a bundle may hold anything
            log.exception("reconcile.failed endpoint=%s", self.config.name)
            self._tell(RivalsError(f"The table could not be loaded ({type(error).__name__})."))
        return None

    def _obey(self) -> Serving | None:
        table = read_table(self.run_dir)
        if table is None:
            return None
        _check(table, self.config.name)
        try:
            serving = self._load(table)
        except RivalsError as error:
            if self._predictors or self._children or self._placed:
                raise  # the old table goes on
            self._tell(error)
            serving = self._load(
                alone(table), anyhow=True
            )  # a new worker knows no old table, but it knows the champion
        else:
            self.problem, self._retry = "", math.inf
        log.info("table.loaded endpoint=%s revision=%d champion=%s", table.endpoint, table.revision, table.champion)
        return serving

    def _tell(self, error: RivalsError) -> None:
        self._retry = time.monotonic() + RETRY
        if str(error) != self.problem:
            log.warning("table.refused endpoint=%s reason=%s", self.config.name, error)
        self.problem = str(error)

    def _load(self, table: RoutingTable, *, anyhow: bool = False) -> Serving:
        loading = Loading(self._folder, self.config.memory_mb, dict(self._predictors), dict(self._children))
        shelved = self._shelve(table)
        placed = self._place(table, anyhow=anyhow)
        predictors: dict[str, Answerer] = {
            variant: placed.get((variant, digest)) or shelved.get(digest) or loading.open(digest, self._python(variant))
            for variant, digest in answering(table).items()
        }
        asides: dict[str, Aside | RemotePredictor] = {}
        for variant, digest in shadowing(table).items():
            elsewhere = placed.get((variant, digest))
            if isinstance(elsewhere, RemotePredictor):
                asides[variant] = elsewhere
                continue
            folder = self._folder(digest)
            memory, python = self.config.memory_mb, self._python(variant)
            kept = self._asides.get((variant, digest))
            asides[variant] = kept or Aside(folder.parent, digest, memory=memory, python=python)
        limits, fallback = self.config.asked, self.config.fallback
        serving = Serving(table, predictors, make(Policy, table.policy), Inputs(()), asides, limits, fallback)
        for variant, signature in serving.signatures.items():
            if signature.task != self.config.task:
                raise RivalsError(f"{variant!r} is for {signature.task}, the endpoint for {self.config.task}.")
        inputs = self._inputs(merged(serving.signatures, table.champion, self.config.columns), serving.columns)
        self._predictors = {digest: one for digest, one in loading.found.items() if digest in loading.used}
        for digest in self._shelved.keys() - shelved.keys():
            self._shelf.drop(self._shelved[digest])
        self._shelved = shelved
        self._children = {digest: one for digest, one in loading.children.items() if digest in loading.used}
        near = {variant: one for variant, one in asides.items() if isinstance(one, Aside)}
        self._asides = {(variant, shadowing(table)[variant]): one for variant, one in near.items()}
        self._placed = {key: one for key, one in placed.items() if isinstance(one, RemotePredictor)}
        return replace(serving, inputs=inputs)

    def _place(self, table: RoutingTable, *, anyhow: bool) -> dict[tuple[str, str], RemotePredictor | Absent]:
        """By variant and digest: who is answered by the server that `rivals serve --place` names.

        ``anyhow``: whoever is no champion and does not answer rightly is absent. Raises ``BundleError``.
        """
        placed: dict[tuple[str, str], RemotePredictor | Absent] = {}
        for variant, digest in digests(table).items():
            if variant not in self.places:
                continue
            folder, kept = self._folder(digest), self._placed.get((variant, digest))
            try:
                placed[variant, digest] = kept or open_placed(folder, variant, self.places[variant], self.token)
            except BundleError as error:
                if not anyhow or variant == table.champion:
                    raise
                placed[variant, digest] = Absent(read_manifest(folder).signature, digest, str(error))
        return placed

    def _shelve(self, table: RoutingTable) -> dict[str, Shelved]:
        """By digest: whom rules alone name, where there is a budget; as many are opened now as have room."""
        if self.config.shelf_mb is None:
            return {}
        self._shelf.most = self.config.shelf_mb << 20
        pinned = {arm.digest for arm in table.arms} | ({table.holdout.digest} if table.holdout else set())
        shelved = {}
        for arm in table.answering_by_name:
            folder = self._folder(arm.digest)
            if arm.digest not in pinned and not self._apart(arm.variant, folder):
                one = self._shelved.get(arm.digest) or Shelved(folder, partial(self._open, folder), self._shelf)
                if one.opened is None and self._shelf.has_room(one):
                    one.open()
                shelved[arm.digest] = one
        return shelved

    def _open(self, folder: Path) -> Predictor:
        return open_bundle(folder, self._folder)

    def _inputs(self, columns: tuple[Column, ...], looked_at: frozenset[str]) -> Inputs:
        config = self.config
        brought = (config.time, config.id, config.unit_column, *config.extra, *config.slices)
        beside = frozenset(name for name in brought if name) | looked_at
        return Inputs(columns, beside, config.time, config.unit_column, config.slices)

    def _folder(self, digest: str) -> Path:
        if not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise BundleError(f"{digest[:80]!r} is no digest of a bundle: 64 hexadecimal digits.")
        return self.bundles / digest

    def _python(self, variant: str) -> str:
        return self.config.asked[variant].python if variant in self.config.asked else ""

    def _apart(self, variant: str, folder: Path) -> bool:
        """Whether a process of its own is to answer from this bundle."""
        try:
            if variant in self.places or self._python(variant):
                return True
            return read_manifest(folder).runtime in {"child", "fanout", "remote"}
        except BundleError:
            return False  # whoever opens it says what is wrong

    def _changed(self, name: str) -> bool:
        try:
            stat = (self.run_dir / name).stat()
        except FileNotFoundError:
            return False
        now = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
        before, self._seen[name] = self._seen.get(name), now
        return now != before


def _check(table: RoutingTable, endpoint: str) -> None:
    """Refuse a table that could not be obeyed."""
    names = [arm.variant for arm in table.arms]
    if table.endpoint != endpoint:
        raise RivalsError(f"The table is for {table.endpoint!r}, not for {endpoint!r}.")
    if table.champion not in names:
        raise RivalsError(f"The champion {table.champion!r} is no arm of its table: {', '.join(names)}.")
    if len(table.slots) != SLOTS or max(table.slots) >= len(names):
        raise RivalsError(
            f"The table has {len(table.slots)} slots for {len(names)} arms; {SLOTS} bytes name arms by index."
        )
    known = digests(table)
    if len(set(names)) != len(names) or any(known[arm.variant] != arm.digest for arm in table.arms):
        raise RivalsError(
            "The table names one variant with two digests; a new version takes a new name or replaces it."
        )


def _replace(path: Path, value: object) -> None:
    """Write a file so that whoever reads it sees the old one or the new one."""
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(msgspec.json.encode(value))
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RivalsError(f"{path.name} cannot be read ({error}). Delete it and `rivals serve` again.") from error


def _boot() -> str:
    """Which boot of the machine this is, where it says so (Linux); monotonic time means nothing across two."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except FileNotFoundError:
        return ""
