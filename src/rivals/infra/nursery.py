"""A clean process that does nothing but import and fork: a task starts in milliseconds and may die alone.

It reads from its standard input, a line each: the name of a module, which it imports, or of a task's folder. There lies
``task``; ``pid`` is written when the task's process has started, ``answer`` when it has one, ``status`` (exit code;
negative: the signal) when it is gone.
Importing starts no threads where numeric libraries are told to use one, so that a fork copies a whole process.
When the input ends, whatever way its owner went, all tasks are killed: nothing is left behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rivals.errors import BuildError, OutOfMemory, RivalsError

PR_SET_PDEATHSIG = 1  # prctl(2)
PATIENCE = 0.02  # seconds between looks at the children


def main() -> None:
    """Serve until the input ends."""
    children: dict[int, Path] = {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the owner decides what a Ctrl-C ends
    buffer = b""
    while True:
        _reap(children)
        if not select.select([0], [], [], PATIENCE if children else None)[0]:
            continue
        chunk = os.read(0, 65536)
        if not chunk:
            break
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            folder = Path(os.fsdecode(line))
            if folder.is_absolute():
                children[_start(folder)] = folder
            else:
                _import(str(folder))
    for pid in children:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)


def write(file: Path, raw: bytes) -> None:
    """All of it or nothing."""
    draft = file.with_suffix(".part")
    draft.write_bytes(raw)
    draft.rename(file)


def _start(folder: Path) -> int:
    _import((folder / "module").read_text())
    nursery, pid = os.getpid(), os.fork()
    if pid == 0:
        _live(folder, nursery)
    with contextlib.suppress(OSError):
        os.setpgid(pid, pid)  # the child does the same; whoever is first
    write(folder / "pid", str(pid).encode())
    return pid


def _import(module: str) -> None:
    """Once, before the fork: what all tasks share is read only once."""
    with contextlib.suppress(Exception):  # a module that cannot be imported is the task's mistake, and told there
        importlib.import_module(module)


def _live(folder: Path, nursery: int) -> None:
    """Run the task and leave; nothing returns from here."""
    code = 1
    try:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
        _die_with(nursery)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):  # what user code prints is no answer of ours
            os.dup2(log, descriptor)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)  # the nursery's input is the nursery's
        sys.stdin = io.StringIO()
        write(folder / "answer", _answer(folder))
        code = 0
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _die_with(nursery: int) -> None:
    """Go when the nursery is killed: else somebody would start the task anew beside this one (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:  # it went before we asked
        os._exit(1)


def _answer(folder: Path) -> bytes:
    try:
        task, item = pickle.loads((folder / "task").read_bytes())  # noqa: S301 -- written by our own process a moment ago
        return pickle.dumps((True, _called(task, item)))
    except BaseException as error:  # noqa: BLE001 -- whatever a task raises is its answer
        return pickle.dumps((False, _told(error)))


def _called(task: Callable[[Any], Any], item: Any) -> Any:
    return task(item)


def _told(error: BaseException) -> RivalsError:
    """The mistake as one line; our own sentences stay as they are."""
    if isinstance(error, MemoryError):
        return OutOfMemory("it asked for more memory than there is; give it more or fewer rows")
    first = (str(error).strip().splitlines() or [""])[0]
    told = BuildError(f"{type(error).__name__}: {first}".rstrip(": "))
    if isinstance(error, RivalsError):
        with contextlib.suppress(Exception):
            told = pickle.loads(pickle.dumps(error))  # noqa: S301 -- does it survive the way? written the line before
    told.add_note("".join(traceback.format_exception(error)))  # for RIVALS_DEBUG; a message stays one line
    return told


def _reap(children: dict[int, Path]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        folder = children.pop(pid, None)
        if folder is not None:
            with contextlib.suppress(OSError):  # the folder is gone where nobody waits any more
                write(folder / "status", str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    main()
