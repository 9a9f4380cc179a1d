"""A variant behind somebody else's server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rivals.remote import Remote, Unreachable
from rivals.serve.asking import Told, tell
from rivals.values import Columns, Signature


class RemotePredictor(Remote):
    """Asks the server that ``remote.json`` or `rivals serve --place` names."""

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        """Ask once for all; where nobody answers, not again for each."""
        try:
            return tell(self, parts)
        except Unreachable as error:
            return [Told([], 0, str(error))] * len(parts)


@dataclass(frozen=True, slots=True)
class Absent:
    """Stands for a variant whose place is not right yet: every question fails, so somebody else answers."""

    signature: Signature
    digest: str
    reason: str

    def tell(self, parts: Sequence[Columns]) -> list[Told]:
        """Say why."""
        return [Told([], 0, self.reason)] * len(parts)
