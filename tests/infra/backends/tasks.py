"""Tasks that behave badly, each in its own way."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import NoReturn

from rivals.errors import DataError


def double(item: int) -> int:
    print("this is no answer")
    return 2 * item


def environment(name: str) -> str | None:
    return os.environ.get(name)


def process(_: object) -> int:
    return os.getpid()


def refuse(item: str) -> NoReturn:
    raise DataError(item)


def explode(item: str) -> NoReturn:
    raise ValueError(f"no such luck: {item}\nand more lines")


def devour(_: object) -> int:
    return len([bytearray(1 << 26) for _ in range(100)])


def ask_for_too_much(_: object) -> NoReturn:
    raise MemoryError


def sleep(seconds: float) -> None:
    time.sleep(seconds)


def leave(code: int) -> NoReturn:
    os._exit(code)


def die(_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def unspeakable(_: object) -> object:
    return lambda: None


def mark_and_sleep(file: Path) -> None:
    file.write_text(str(os.getpid()))
    time.sleep(60)


def with_a_child_of_its_own(file: Path) -> None:
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    file.write_text(str(pid))
    time.sleep(60)


def rendezvous(item: tuple[Path, str, str]) -> str:
    """Done only when the other one runs at the same time."""
    folder, mine, other = item
    (folder / mine).touch()
    until = time.monotonic() + 20
    while not (folder / other).exists():
        if time.monotonic() > until:
            raise AssertionError("alone")
        time.sleep(0.01)
    return mine
