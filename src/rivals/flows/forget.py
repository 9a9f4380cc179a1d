"""Forget a unit: who asks to be erased, is."""

from __future__ import annotations

from rivals.errors import RivalsError
from rivals.flows.archive import archive_of
from rivals.flows.begin import clock_of
from rivals.flows.control import ship
from rivals.flows.workspace import Workspace


def forget_unit(workspace: Workspace, unit: str) -> dict[str, int]:
    """Erase a unit's exposures, inputs and feedback, from the store and the archive; how many exposures there were.

    What workers wrote down a moment ago is taken in first. Raises ``RivalsError`` where there is nothing of that unit.
    """
    ship(workspace)
    many = archive_of(workspace).forget(unit, clock_of(workspace))
    if not many:
        raise RivalsError("There is nothing of that unit, neither in the store nor in the archive.")
    return {"erased": many}
