"""Hundreds of variants under a budget of memory: opened when they are asked, put away when others need the room.

What answers most of the traffic is not here: arms and the champion stay open. A variant on the shelf answers in the
worker while it is open; where it is not, its lane opens it, and whoever asks meanwhile waits as for one that is away.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from rivals.bundles import folder_bytes, read_manifest
from rivals.protocols import Predictor
from rivals.serve.asking import Told, tell
from rivals.values import Columns

# What a bundle takes at most: so many times its files, and so many bytes (benchmarks/memory.py).
TIMES, MORE = 3, 3 << 20


class Shelved:
    """A bundle that is opened when it is asked. May be asked by several threads."""

    def __init__(self, folder: Path, opens: Callable[[], Predictor], shelf: Shelf) -> None:
        manifest = read_manifest(folder)
        self.signature, self.beside, self.digest = manifest.signature, manifest.beside, folder.name
        self.bound = TIMES * folder_bytes(folder) + MORE
        self.opened: Predictor | None = None
        self._opens, self._shelf, self._turn = opens, shelf, threading.Lock()

    @property
    def near(self) -> Predictor | None:
        """Who answers at once; None: it is to be opened first."""
        opened = self.opened
        if opened is not None:
            self._shelf.used(self)
        return opened

    def open(self) -> Predictor:
        """Open it, if it is not. Raises ``BundleError``."""
        with self._turn:
            return self.near or self._shelf.keep(self, self._opens)

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        """Ask it, wherever it is. Raises ``BundleError`` where it cannot be opened."""
        return tell(self.open(), parts)


class Shelf:
    """At most ``most`` bytes of open bundles, but for one that is larger by itself; the least recently used goes first.

    A bundle's size is what the process grew by when it was opened, where nothing else was opened at that time; else
    its bound.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[Shelved, int] = OrderedDict()
        self._opening = self._opened = 0  # under way, and ever begun

    @property
    def held(self) -> int:
        """Bytes in use."""
        with self._lock:
            return sum(self._held.values())

    def has_room(self, one: Shelved) -> bool:
        """Whether nobody would have to go for it."""
        return self.held + one.bound <= self.most

    def used(self, one: Shelved) -> None:
        """It was asked just now."""
        with self._lock:
            if one in self._held:
                self._held.move_to_end(one)

    def keep(self, one: Shelved, opens: Callable[[], Predictor]) -> Predictor:
        """Open a bundle and make room for it."""
        with self._lock:
            self._opening += 1
            self._opened += 1
            turn, alone, before = self._opened, self._opening == 1, resident()
        try:
            opened = opens()
        finally:
            with self._lock:
                self._opening -= 1
                alone = alone and self._opened == turn
        grown, gone = resident() - before, False
        with self._lock:
            one.opened = opened
            self._held[one] = grown if alone and 0 < grown < one.bound else one.bound
            while sum(self._held.values()) > self.most and len(self._held) > 1:
                away, _ = self._held.popitem(last=False)
                away.opened, gone = None, True
        if gone:
            trim()
        return opened

    def drop(self, one: Shelved) -> None:
        """Put it away: no table names it any more."""
        with self._lock:
            self._held.pop(one, None)
            one.opened = None


def trim() -> None:
    """Give what was freed back to the system, where the allocator can (glibc); it would keep most of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident() -> int:
    """Bytes of this process in memory; 0 where nobody tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
