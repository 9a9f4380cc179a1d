"""What is to run where, as nouns: made from a project, rendered for a platform, read back from one.

Shares lie in [0, 1]; memory is in MB, processors in cores. Everything is frozen, and equal where it says the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Signal = Literal["cpu", "in_flight", "p99_ms"]


@dataclass(frozen=True, slots=True)
class Scale:
    """How many replicas a piece has, and what decides.

    ``target`` is a percentage of the requested processors, requests under way in a replica, or milliseconds.
    """

    least: int = 1
    most: int = 1
    signal: Signal = "cpu"
    target: float = 70.0

    @property
    def moves(self) -> bool:
        """Whether there is anything to decide."""
        return self.most > self.least


@dataclass(frozen=True, slots=True)
class Piece:
    """One variant in a place of its own: its share of the requests, and of those it is shown in the shadow.

    ``digest`` is its bundle's; ``image`` runs it, ``uri`` is where its bundle or model lies, where either is known.
    """

    variant: str
    weight: float = 0.0
    mirrored: float = 0.0
    digest: str = ""
    image: str = ""
    uri: str = ""
    format: str = "rivals"  # of what lies under ``uri``: what a platform's own server would load
    cpu: float = 0.25
    memory_mb: int = 512
    scale: Scale = Scale()


@dataclass(frozen=True, slots=True)
class Climb:
    """How a challenger's share grows: by these steps, each at least ``every`` seconds long."""

    steps: tuple[float, ...] = ()
    every: float = 600.0


@dataclass(frozen=True, slots=True)
class Deployment:
    """An endpoint's variants, and the router before them (``router.variant`` is the endpoint's name)."""

    name: str
    champion: str
    pieces: tuple[Piece, ...]
    router: Piece
    climb: Climb = field(default_factory=Climb)
    namespace: str = "default"
    host: str = ""  # by which it is reached from outside; empty: any
    store: str = ""  # the Secret that holds the store's URL; empty: the router keeps its state on a volume

    @property
    def arms(self) -> tuple[Piece, ...]:
        """Those that answer clients."""
        return tuple(piece for piece in self.pieces if piece.weight > 0)

    @property
    def shadows(self) -> tuple[Piece, ...]:
        """Those that are shown requests and whose answers go to nobody."""
        return tuple(piece for piece in self.pieces if piece.mirrored > 0)

    def piece(self, variant: str) -> Piece:
        """The variant's. Raises ``KeyError``."""
        return {piece.variant: piece for piece in self.pieces}[variant]


@dataclass(frozen=True, slots=True)
class Trap:
    """Something in a description that does not do what its author will think: where, what, and what to do."""

    where: str
    what: str
    instead: str


def whole(shares: list[float], total: int = 100) -> list[int]:
    """Shares as whole numbers that add up to ``total``, by largest remainder; nothing above zero becomes zero.

    Shares need not add up to one; all zero stays all zero.
    """
    summed = sum(shares)
    if not summed:
        return [0] * len(shares)
    exact = [share / summed * total for share in shares]
    counts = [max(int(one), 1 if one > 0 else 0) for one in exact]
    while sum(counts) != total:
        step = 1 if sum(counts) < total else -1
        open_ = [i for i, one in enumerate(counts) if step > 0 or one > 1]
        counts[max(open_, key=lambda i: step * (exact[i] - counts[i]))] += step
    return counts
