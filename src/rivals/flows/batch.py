"""Batch: files of any size through one variant or all of them; whatever kills it, it goes on where it was."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from rivals import plugins
from rivals.errors import DataError, Refused, RivalsError
from rivals.flows.scoring import Part, Scoring, schema_of, score_part
from rivals.flows.workspace import Workspace
from rivals.protocols import Backend
from rivals.values import Use

ROWS = 500_000  # of a part, where row groups allow
PLAN, DONE, LOCK = "_rivals.json", "_SUCCESS", ".lock"
SUFFIXES = (".parquet", ".csv")


@dataclass(frozen=True, slots=True)
class Plan:
    """``_rivals.json`` in the output: which rows through which bundles, so that nothing else is mixed in."""

    files: Mapping[str, str]  # digests by name
    variants: Mapping[str, str]
    keep: tuple[str, ...] = ()
    rows: int = ROWS


@dataclass(frozen=True, slots=True)
class Scored:
    """What a batch came to."""

    out: str
    parts: int
    rows: int
    variants: tuple[str, ...]
    kept: int = 0  # parts that were there already
    files: tuple[str, ...] = field(default=())


def batch_project(
    workspace: Workspace,
    source: Path,
    out: Path,
    variant: str | None = None,
    *,
    keep: Sequence[str] = (),
    backend: str = "local",
    tell: Callable[[str], None] = lambda _: None,
) -> Scored:
    """Score ``source``, a Parquet or CSV file or a folder of them, into ``out``, a folder of Parquet files.

    Rows and parts stay in order. ``variant`` is one of the project, ``all``, or the champion where nothing is said.
    Raises ``DataError`` with file, row and column, ``Refused`` where ``out`` holds other rows' or variants' scores.
    """
    names = _variants(workspace, variant)
    digests = {name: workspace.trained(name).digest for name in names}
    kept = tuple(dict.fromkeys([*(_id(workspace, source)), *keep]))
    files = _files(source)
    plan = Plan({file.name: _digest(file) for file in files}, digests, kept)
    with _alone(out):
        _agree(out, plan)
        parts = list(_parts(files, out))
        waiting = [part for part in parts if not Path(part.out).exists()]
        _run(workspace, [Scoring(part, str(workspace.blobs.folder), digests, kept) for part in waiting], backend, tell)
        rows = sum(pq.read_metadata(part.out).num_rows for part in parts)
        made = Scored(
            str(out),
            len(parts),
            rows,
            tuple(digests),
            len(parts) - len(waiting),
            tuple(Path(p.out).name for p in parts),
        )
        _write(out / DONE, {"parts": len(parts), "rows": rows, "variants": list(digests)})
    return made


def _variants(workspace: Workspace, asked: str | None) -> list[str]:
    if asked == "all":
        return [one.name for one in workspace.spec.variants if workspace.store.trained(one.name)]
    if asked is not None:
        return [workspace.spec_variant(asked)]
    endpoint = workspace.spec.endpoint
    table = workspace.store.table(endpoint.name) if endpoint else None
    champion = table.champion if table else endpoint.champion if endpoint else None
    if champion is None:
        raise RivalsError("Nobody is champion; say --variant NAME, or --variant all.")
    return [champion]


def _id(workspace: Workspace, source: Path) -> list[str]:
    """The project's id column, where the rows have it."""
    name = workspace.spec.data.id
    return [name] if name and name in schema_of(_files(source)[0]).names else []


def _files(source: Path) -> list[Path]:
    """The file, or those in the folder, by name. Raises ``DataError`` where there are none."""
    if source.is_file():
        files = [source]
    else:
        inside = source.rglob("*") if source.is_dir() else ()
        files = sorted(one for one in inside if one.is_file() and not one.name.startswith((".", "_")))
    if strange := [one for one in files if one.suffix not in SUFFIXES]:
        raise DataError(f"{strange[0]} is neither .parquet nor .csv.")
    if not files:
        raise DataError(f"There are no .parquet or .csv files at {source}.")
    if len({one.name for one in files}) < len(files):
        raise DataError(f"Two files under {source} have one name; parts are named by it.")
    return files


def _parts(files: Sequence[Path], out: Path) -> Iterator[Part]:
    """Stretches of about ``ROWS`` rows in order; a CSV file is one."""
    number = 0
    for file in files:
        for groups, first in _stretches(file):
            yield Part(str(file.resolve()), groups, first, str(out.resolve() / f"part-{number:05d}.parquet"))
            number += 1


def _stretches(file: Path) -> Iterator[tuple[tuple[int, ...], int]]:
    if file.suffix != ".parquet":
        yield (), 0
        return
    try:
        about = pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file.name} cannot be read: {error}.") from error
    groups: list[int] = []
    first = rows = 0
    for group in range(about.num_row_groups):
        many = about.row_group(group).num_rows
        if groups and rows + many > ROWS:
            yield tuple(groups), first
            groups, first, rows = [], first + rows, 0
        groups.append(group)
        rows += many
    yield tuple(groups), first


def _run(workspace: Workspace, tasks: Sequence[Scoring], backend: str, tell: Callable[[str], None]) -> None:
    """All parts side by side; the first that fails ends it, and what was finished stays."""
    if not tasks:
        return
    limits = workspace.spec.limits
    options = {"memory_mb": limits.memory_mb} if backend == "local" else {}
    place = plugins.make(Backend, Use(backend, options))
    try:
        place.warm("rivals.flows.scoring")
        under_way: dict[Future[int], Part] = {}
        queue, done = list(reversed(tasks)), 0
        while queue or under_way:
            while queue and len(under_way) < place.workers:
                task = queue.pop()
                under_way[place.submit(score_part, task)] = task.part
            finished, _ = wait(under_way, return_when=FIRST_COMPLETED)
            for future in finished:
                part = under_way.pop(future)
                rows = future.result()
                done += 1
                tell(f"{Path(part.out).name}: {rows} rows of {Path(part.file).name} ({done} of {len(tasks)})")
    finally:
        place.close()


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One batch at a time writes there. Raises ``Refused``."""
    out.mkdir(parents=True, exist_ok=True)
    lock = os.open(out / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused(f"Another batch writes into {out} just now.") from None
    finally:
        os.close(lock)


def _agree(out: Path, plan: Plan) -> None:
    """Begin, or go on with the same rows and variants. Raises ``Refused``."""
    file = out / PLAN
    if file.exists():
        try:
            before = msgspec.json.decode(file.read_bytes(), type=Plan)
        except msgspec.MsgspecError as error:
            raise Refused(f"{file} cannot be read ({error}); name another folder.") from error
        if before != plan:
            what = next(name for name in ("files", "variants", "keep", "rows") if _differ(before, plan, name))
            told = {"files": "rows", "keep": "kept columns", "rows": "sizes of parts"}.get(what, what)
            raise Refused(f"{out} holds scores of other {told}; name another folder, or delete that one.")
        return
    if strange := [one.name for one in out.iterdir() if one.name != LOCK]:
        raise Refused(f"{out} is not empty ({strange[0]}); scores go into a folder of their own.")
    _write(file, msgspec.to_builtins(plan))


def _differ(one: Plan, other: Plan, name: str) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _write(file: Path, value: object) -> None:
    draft = file.with_name(f".{file.name}")
    draft.write_bytes(msgspec.json.encode(value))
    draft.replace(file)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:32]
