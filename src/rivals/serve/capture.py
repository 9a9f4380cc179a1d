"""What of a request's rows is written down beside its exposures; nothing, where nobody asked for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from rivals.rules import is_beside
from rivals.values import Request

WHOLE = 2**64


class Capture:
    """Keeps the inputs of a share of the requests, drawn by their ids, without the columns in ``redact``."""

    def __init__(self, share: float, redact: Sequence[str] = ()) -> None:
        self._below, self._redact = int(share * WHOLE), frozenset(redact)

    def of(self, request: Request) -> Mapping[str, Sequence[Any]] | None:
        """The columns to keep; None where this request was not drawn."""
        if self._below < WHOLE and _draw(request.id) >= self._below:
            return None
        given = request.columns.values.items()
        return {name: values for name, values in given if name not in self._redact and not is_beside(name)}


def _draw(request_id: str) -> int:
    return int.from_bytes(blake2b(request_id.encode(), digest_size=8, person=b"rivals.capture").digest(), "big")
