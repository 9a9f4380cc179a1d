"""A variant in a process of its own, for whoever may sleep, crash or compute for long without anybody noticing.

``Aside`` starts it and asks it; ``python -m rivals.serve.aside SOCKET BUNDLE NICE MEMORY`` is the process. They speak
msgpack over a socket pair, each message behind its length: first the process says that it is loaded, then every message
with requests gets one with what they got. Nothing but that passes, so nothing the model prints or holds can
reach the worker, and the interpreter it computes in is not the loop's.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rivals.bundles import folder_digest, read_manifest
from rivals.errors import BundleError, RivalsError
from rivals.serve.asking import Told, tell
from rivals.serve.runtimes import open_bundle
from rivals.serve.runtimes.opening import NOBODY, Alone
from rivals.values import Columns

log = logging.getLogger("rivals.aside")

COMMAND = ("-m", "rivals.serve.aside")
CHILD = ("-m", "rivals.flows.child")  # likewise, of a bundle that only its own pipeline answers
LOAD = 60.0  # seconds to be ready in
HANG = 30.0  # seconds without an answer after which the process is ended
FIRST, LAST = 1.0, 60.0  # seconds before a process that ended is started again: doubled each time
GRACE = 5.0  # seconds that one which closed its socket has to end by itself
NICE = 10  # of a shadow: whoever answers clients goes first
MEMORY = 8_192  # megabytes that a process may keep
MOST = 64 << 20  # bytes of a message; none that is right is larger
LENGTH = struct.Struct("!I")
EXACT = 1 << 63  # integers of this size are no msgpack; models take floats anyway

LOOK = 0.25  # seconds between two looks at itself
LEAKS = 70  # how it ends that keeps too much

T = TypeVar("T")


class Hello(msgspec.Struct):
    """The first message: it is loaded, or the reason why it cannot be."""

    reason: str = ""


class Aside:
    """The bundle ``digest``, asked in a process of its own, which loads while others go on.

    ``memory`` is in megabytes: a process that keeps more ends, and is started again. ``python`` is the interpreter of a
    virtual environment that has rivals, and what else the bundle needs; this one where nothing is said. Raises
    ``BundleError`` where the bundle is not what its name says. The process ends with this object, and with ours.
    """

    def __init__(self, bundles: Path, digest: str, nice: int = NICE, memory: int = MEMORY, python: str = "") -> None:
        self._wait, self._again = FIRST, 0.0
        self._turn = threading.Lock()  # a lane that ends may meet the one that follows it
        folder = bundles / digest
        if (actual := folder_digest(folder)) != digest:
            raise BundleError(f"Bundle {digest[:12]} is not what its name says (its files make {actual[:12]}).")
        manifest = read_manifest(folder)
        self.signature, self.beside = manifest.signature, manifest.beside
        command = CHILD if manifest.runtime in {"child", "fanout"} else COMMAND
        self._words, self._more = (python or sys.executable, *command), (str(folder), str(nice), str(memory))
        self._link: _Link | None = _Link(self._words, self._more)

    def ready(self) -> None:
        """Wait until it is loaded and has answered its probe. Raises ``BundleError`` with its reason if it cannot."""
        with self._turn:
            self._attempt(lambda link: link.greet())

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        """Ask. Raises ``BundleError`` where it cannot be opened, died or hangs; a later call starts it again."""
        with self._turn:
            return self._attempt(lambda link: link.ask(parts))

    def _attempt(self, what: Callable[[_Link], T]) -> T:
        if self._link is None:
            if time.monotonic() < self._again:
                raise BundleError("Its process ended, and is not started again yet.")
            self._link = _Link(self._words, self._more)
        try:
            told = what(self._link)
        except BundleError:
            self._link.end(0.0)
            self._link = None
            self._again, self._wait = time.monotonic() + self._wait, min(2 * self._wait, LAST)
            raise
        except (OSError, EOFError, msgspec.MsgspecError) as error:
            link, self._link = self._link, None
            self._again, self._wait = time.monotonic() + self._wait, min(2 * self._wait, LAST)
            hangs = isinstance(error, TimeoutError)
            why = f"gave no answer in {HANG:g} s" if hangs else "ended"
            sentence = f"Its process {why} (exit {link.end(0.0 if hangs else GRACE)})."
            if self._words[0] != sys.executable:
                sentence += f" Has {self._words[0]} rivals of this version installed?"
            raise BundleError(sentence) from error
        self._wait = FIRST
        return told


class _Link:
    """One process and the socket to it."""

    def __init__(self, words: Sequence[str], more: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RIVALS_")}
        with theirs:
            command = (*words, str(theirs.fileno()), *more)
            process = subprocess.Popen(  # noqa: S603 -- our own command
                command, stdin=subprocess.DEVNULL, pass_fds=(theirs.fileno(),), env=environment
            )
        self._socket, self._process = ours, process
        # Not __del__: this runs at the end of the interpreter too.
        self._end = weakref.finalize(self, _end, ours, process)
        self._greeted = False

    def greet(self) -> None:
        """Wait until it is loaded. Raises ``BundleError`` with its reason where it cannot be."""
        if self._greeted:
            return
        self._socket.settimeout(LOAD)
        if reason := receive(self._socket, Hello).reason:
            raise BundleError(reason)
        self._socket.settimeout(HANG)
        self._greeted = True

    def ask(self, parts: Sequence[Columns]) -> list[Told]:
        self.greet()
        try:
            # One by one: the loop may take the interpreter in between.
            send(self._socket, [msgspec.Raw(msgspec.msgpack.encode(one)) for one in parts])
        except OverflowError:
            send(
                self._socket,
                [Columns({name: _floats(one.values[name]) for name in one.values}, one.rows) for one in parts],
            )
        told = receive(self._socket, list[Told])
        if len(told) != len(parts):
            raise EOFError
        return told

    def end(self, grace: float = GRACE) -> int:
        """End the process, if it does not by itself within ``grace`` seconds; how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self._end()
        return self._process.wait()


def _end(link: socket.socket, process: subprocess.Popen[bytes]) -> None:
    link.close()
    process.kill()
    try:  # not here: this may be the loop, and whoever is at a lower priority dies slowly
        threading.Thread(target=process.wait, daemon=True).start()
    except RuntimeError:  # the interpreter ends
        process.wait()


def _floats(values: Sequence[Any]) -> list[Any]:
    return [float(value) if type(value) is int and not -EXACT <= value < EXACT else value for value in values]


def send(link: socket.socket, message: object) -> None:
    """One message. Raises ``OverflowError`` where an integer is larger than msgpack's."""
    payload = msgspec.msgpack.encode(message)
    link.sendall(LENGTH.pack(len(payload)) + payload)


def receive(link: socket.socket, kind: type[T]) -> T:
    """The next message. Raises ``EOFError`` at the end, ``TimeoutError``, or msgspec's errors."""
    (length,) = LENGTH.unpack(_exactly(link, LENGTH.size))
    if length > MOST:
        raise EOFError
    return msgspec.msgpack.decode(_exactly(link, length), type=kind)


def _exactly(link: socket.socket, length: int) -> bytearray:
    found = bytearray()
    while len(found) < length:
        part = link.recv(min(length - len(found), 1 << 20))
        if not part:
            raise EOFError
        found += part
    return found


def main(alone: Alone | None = None) -> None:
    """Be the process; ``alone`` opens what is not served in a worker's."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    number, name, nice, memory = sys.argv[1:]
    folder = Path(name)
    os.nice(int(nice))
    threading.Thread(target=_watch, args=(os.getppid(), int(memory) << 20), daemon=True).start()
    with socket.socket(fileno=int(number)) as link:
        try:
            predictor = open_bundle(folder, lambda member: folder.parent / member, NOBODY, alone)
        except RivalsError as error:
            send(link, Hello(reason=str(error)))
            return
        send(link, Hello())
        while True:
            try:
                parts = receive(link, list[Columns])
            except EOFError:
                return
            send(link, tell(predictor, parts))


def _watch(parent: int, most: int) -> None:
    """A model that never returns does not outlive the worker, however that ended; one that leaks ends in time."""
    while os.getppid() == parent:
        if _resident() > most:
            log.error("aside.ended memory=%d", most)
            os._exit(LEAKS)
        time.sleep(LOOK)
    os._exit(0)


def _resident() -> int:
    """Bytes in memory; 0 where nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


if __name__ == "__main__":
    main()
