"""Bring the store to a revision: forwards before a newer rivals uses it, backwards before an older one does."""

from __future__ import annotations

from dataclasses import dataclass

from rivals.flows.workspace import Workspace
from rivals.registry.revisions import migrate
from rivals.registry.schema import HEAD


@dataclass(frozen=True, slots=True)
class Migrated:
    """The revision a store was at (None: it was new, or from before revisions), and the one it is at now."""

    before: str | None
    after: str


def migrate_store(workspace: Workspace, to: str = "") -> Migrated:
    """Migrate the project's store, to this rivals' own revision where none is said. Raises ``RivalsError``."""
    return Migrated(*migrate(workspace.store_url, to or HEAD))
