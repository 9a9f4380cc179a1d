"""Units that no rollout touches: the global holdout, and those of the endpoint's layer that are not its own."""

from __future__ import annotations

import secrets
from dataclasses import replace

import msgspec

from rivals.errors import RivalsError
from rivals.flows.fences import fences_of
from rivals.flows.learn import begin
from rivals.flows.routing import named_arms
from rivals.flows.tied import policy_for
from rivals.flows.workspace import Workspace
from rivals.registry.ledger import Ledger
from rivals.registry.transaction import Transaction
from rivals.values import SLOTS, Holdout, Layer, RoutingTable, Version

SALT = "holdout/salt"  # one for the whole store: a unit that is held out is held out of every endpoint


def keep_apart(tx: Transaction, workspace: Workspace, table: RoutingTable) -> RoutingTable:
    """The table with the holdout and layer that the project file asks for. Raises ``RivalsError``."""
    return replace(table, holdout=_holdout(tx, workspace, table), layer=_layer(tx, workspace, table))


def follow_project(workspace: Workspace, table: RoutingTable, now: float) -> RoutingTable:
    """The table in force, with what the project file says now of its policy and of units that are kept apart."""
    policy = policy_for(workspace, table.champion, workspace.endpoint.policy)
    with workspace.store.transaction() as tx:
        named = named_arms(workspace, policy, tx)
        state = begin(tx, workspace, table.revision + 1, named, now)
        wanted = replace(keep_apart(tx, workspace, table), policy=policy, named=named, state=state)
        if wanted == table:
            return table
        wanted = replace(wanted, revision=table.revision + 1)
        Ledger(workspace.store).set_table(tx, wanted, table.revision, now)
        return wanted


def _holdout(tx: Transaction, workspace: Workspace, table: RoutingTable) -> Holdout | None:
    share = workspace.endpoint.holdout
    if not share:
        return None
    salt = tx.state(SALT)
    if salt is None:
        salt = secrets.token_hex(8).encode()
        tx.put_state(SALT, salt)
    known = {one.variant: one.digest for one in table.arms} | {one.variant: one.digest for one in table.shadows}
    approved = _approved(tx, workspace, table)
    # One name answers with one bundle: that of the table, where it is in there.
    digest = known.get(approved.variant, approved.digest)
    return Holdout(approved.variant, digest, salt.decode(), round(share * SLOTS))


def _approved(tx: Transaction, workspace: Workspace, table: RoutingTable) -> Version:
    """The pinned reference, or the project file's; else whom the holdout has had, else the champion."""
    if pinned := fences_of(workspace, tx).reference:
        return pinned
    if name := workspace.endpoint.reference:
        return Version(name, workspace.trained(name).digest)
    if table.holdout:
        return Version(table.holdout.variant, table.holdout.digest)
    return next(Version(arm.variant, arm.digest) for arm in table.arms if arm.variant == table.champion)


def _layer(tx: Transaction, workspace: Workspace, table: RoutingTable) -> Layer | None:
    wish, name = workspace.endpoint.layer, workspace.endpoint.name
    if table.layer and (wish is None or wish.name != table.layer.name):
        _leave(tx, table.layer.name, name)
    if wish is None:
        return None
    taken = _taken(tx, wish.name)
    mine = (round(wish.start * SLOTS), round(wish.end * SLOTS))
    for other, (start, end) in taken.items():
        if other != name and mine[0] < end and start < mine[1]:
            theirs = f"{start / SLOTS:.2%} to {end / SLOTS:.2%} of layer {wish.name!r}"
            raise RivalsError(f"endpoint.layer: {other!r} has {theirs}; no unit may be in two rollouts of one layer.")
    if taken.get(name) != mine:
        tx.put_state(f"layer/{wish.name}", msgspec.json.encode({**taken, name: mine}))
    return Layer(wish.name, *mine)


def _leave(tx: Transaction, layer: str, endpoint: str) -> None:
    """Give the endpoint's part of a layer back, so that others may have it."""
    rest = {other: part for other, part in _taken(tx, layer).items() if other != endpoint}
    tx.put_state(f"layer/{layer}", msgspec.json.encode(rest))


def _taken(tx: Transaction, layer: str) -> dict[str, tuple[int, int]]:
    """Who has which slots of a layer, by endpoint."""
    return msgspec.json.decode(tx.state(f"layer/{layer}") or b"{}", type=dict[str, tuple[int, int]])
