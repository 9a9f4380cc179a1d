"""What a build tells while it runs, and at its end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rivals.values import Trained


@dataclass(frozen=True, slots=True)
class BuildEvent:
    """What happens to a variant just now: running, built, kept or failed."""

    variant: str
    state: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What there is after a build, what was kept from earlier ones, and what failed, with its reason."""

    trained: tuple[Trained, ...]
    kept: tuple[str, ...]
    failed: Mapping[str, str]
    notes: tuple[str, ...]
    seconds: float
