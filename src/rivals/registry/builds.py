"""Every build there ever was, with all that was kept of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa

from rivals.registry import schema
from rivals.registry.store import Store
from rivals.values import Trained, Version


@dataclass(frozen=True, slots=True)
class Build:
    """One build of a variant: what came of it, its MLflow version and run, and what else was kept."""

    trained: Trained
    version: Version
    extras: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be called by: its wish, its bundle, its run."""
        return tuple(filter(None, (self.trained.wish, self.trained.digest, self.version.run_id)))

    @property
    def name(self) -> str:
        """What it is called here."""
        return f"{self.trained.variant}@{self.trained.wish[:12]}"


def builds(store: Store) -> list[Build]:
    """All of them, the newest first."""
    one = schema.trained.c
    rows = store.rows(sa.select(one.body, one.version, one.extras).order_by(one.number.desc()))
    return [
        Build(
            # The standard library's JSON: a score that is not a number must come back as one.
            msgspec.convert(json.loads(row.body), Trained),
            msgspec.json.decode(row.version, type=Version),
            json.loads(row.extras),
        )
        for row in rows
    ]
