"""Closed exposures become Parquet by day, and are kept as long as the project asks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from rivals.flows.workspace import Workspace
from rivals.observe.evidence import EvidenceState

if TYPE_CHECKING:
    from rivals.registry.archive import Archive

log = logging.getLogger("rivals.archive")


@dataclass
class Keeper:
    """The archive's part of a round of the control process: a bounded step, and nothing where nobody asked for it."""

    workspace: Workspace
    off: bool = False  # for want of a package; said once

    def step(self, now: float) -> int:
        """Move one batch of what is settled, and delete the days that were kept long enough; how many were moved."""
        wish = self.workspace.endpoint.capture
        if wish is None or self.off:
            return 0
        try:
            archive = archive_of(self.workspace)
        except ModuleNotFoundError as error:
            self.off = True
            log.warning(
                "archive.off reason=%s is not installed: exposures stay in the store until 'rivals[build]' is",
                error.name,
            )
            return 0
        moved = archive.move(*settled(self.workspace, now))
        if gone := archive.drop(now - wish.keep):
            log.info("archive.dropped endpoint=%s days=%s", archive.endpoint, ",".join(gone))
        return moved


def settled(workspace: Workspace, now: float) -> tuple[float, int | None]:
    """Before which time every exposure was judged for good, and the number of the last one that was looked at."""
    spec, endpoint = workspace.spec, workspace.endpoint
    before, closed = now - spec.data.label_delay - endpoint.rollout.block, None
    for running in workspace.store.active_rollouts(endpoint.name):
        raw = workspace.store.state(f"evidence/{running.id}")
        if raw is None:
            return running.started, 0
        state = msgspec.json.decode(raw, type=EvidenceState)
        before, closed = min(before, state.next_block), min(state.cursor, state.cursor if closed is None else closed)
    raw = workspace.store.state(f"learned/{endpoint.name}")
    if raw is not None and (learned := msgspec.json.decode(raw, type=_UpTo)).next_block is not None:
        before = min(before, learned.next_block)
    return before, closed


@dataclass(frozen=True, slots=True)
class _UpTo:
    """Of what a policy has learned: up to where."""

    next_block: float | None = None


def archive_of(workspace: Workspace) -> Archive:
    """The endpoint's archive. Raises ``ModuleNotFoundError`` without pyarrow, which comes with ``rivals[build]``."""
    from rivals.registry.archive import Archive  # noqa: PLC0415 -- pyarrow is of the build extra

    name = workspace.endpoint.name
    return Archive(workspace.store, workspace.state / "archive" / name, name)
