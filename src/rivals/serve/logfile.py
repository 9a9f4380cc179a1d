"""An append-only file of frames: a length, its complement, a checksum (little-endian, 32 bits each) and so many bytes.

One append is one write: in the kernel when it returns, on the disk after ``sync``. A cursor is the number of bytes
before it. A frame that is not whole at the end of a file was never acknowledged, and is not there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from rivals.errors import RivalsError

_HEAD, _ONES = struct.Struct("<III"), 0xFFFFFFFF


class DamagedError(RivalsError):
    """A file holds what nobody wrote."""


class LogFile:
    """A new file at ``path``, for one writer."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._end = 0

    def append(self, payloads: Iterable[bytes]) -> None:
        """Write these in one go. Raises ``OSError``, and then nothing is written."""
        raw = b"".join([part for one in payloads for part in (_HEAD.pack(len(one), len(one) ^ _ONES, crc32(one)), one)])
        try:
            written = os.pwrite(self._file, raw, self._end)
            while written < len(raw):  # a disk that is nearly full, or a signal
                written += os.pwrite(self._file, memoryview(raw)[written:], self._end + written)
        except OSError:
            with suppress(OSError):  # what follows is written over it in any case
                os.ftruncate(self._file, self._end)
            raise
        self._end += len(raw)

    def sync(self) -> None:
        """Have it on the disk. Raises ``OSError``."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def frames(path: Path, after: int = 0) -> Iterator[tuple[int, bytes]]:
    """The frames behind a cursor, each with the cursor behind it. Raises ``DamagedError``, and ``OSError``."""
    with path.open("rb") as stream:
        stream.seek(after)
        raw = memoryview(stream.read())
    place = 0
    while place + _HEAD.size <= len(raw):
        length, complement, checksum = _HEAD.unpack_from(raw, place)
        start, end = place + _HEAD.size, place + _HEAD.size + length
        if length ^ complement == _ONES and end > len(raw):
            return
        if length ^ complement != _ONES or crc32(raw[start:end]) != checksum:
            raise DamagedError(f"{path.name} is damaged after {after + place} bytes.")
        yield after + end, bytes(raw[start:end])
        place = end
