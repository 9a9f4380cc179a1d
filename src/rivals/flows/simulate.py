"""Recorded traffic against a scaling policy: what would have been shed, how long it would have taken, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from rivals.errors import DataError, SpecError
from rivals.flows.capacity import known
from rivals.flows.workspace import Workspace
from rivals.infra.simulation import Outcome, Policy, simulate
from rivals.placement import Scale
from rivals.registry import schema


@dataclass(frozen=True, slots=True)
class Simulated:
    """What became of the requests under a policy, and that in a sentence."""

    variant: str
    outcome: Outcome
    sentence: str


def recorded(workspace: Workspace, share: float = 1.0) -> list[float]:
    """When requests came, from the first on, as far as the store has them; ``share`` of them, evenly."""
    one = schema.exposures.c
    query = sa.select(one.time).where(one.endpoint == workspace.endpoint.name, one.shadow.is_(False))
    times = [float(row[0]) for row in workspace.store.rows(query.order_by(one.time))]
    return [at for number, at in enumerate(times) if int((number + 1) * share) > int(number * share)]


def read_times(file: Path) -> list[float]:
    """Times of arrival in seconds, one a line. Raises ``DataError``."""
    try:
        return sorted(float(line) for line in file.read_text().split())
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no list of times in seconds, one a line: {error}.") from error


def simulate_scaling(
    workspace: Workspace, variant: str, arrivals: Sequence[float], policy: Policy | None = None, *, times: float = 1.0
) -> Simulated:
    """Play the arrivals, ``times`` as many of them, against a policy; the project's own where none is given.

    Raises ``SpecError`` where the variant was never measured, or nothing was recorded.
    """
    policy = policy or policy_of(workspace, variant)
    if not arrivals:
        raise SpecError("No request was recorded yet; give --times a file with a time in seconds on each line.")
    many = [at for number, at in enumerate(arrivals) for _ in range(int((number + 1) * times) - int(number * times))]
    found = simulate(many or list(arrivals[:1]), policy)
    sentence = (
        f"{variant}: {found.shed:,} of {found.requests:,} requests shed; p50 {found.p50 * 1e3:.0f} ms, "
        f"p99 {found.p99 * 1e3:.0f} ms; {found.most} replicas at most, {found.hours:.2f} replica hours."
    )
    return Simulated(variant, found, sentence)


def policy_of(workspace: Workspace, variant: str, rate: float | None = None, start: float = 30.0) -> Policy:
    """What the project file asks for: ``deploy.variants`` and ``endpoint.capacity``. Raises ``SpecError``."""
    workspace.spec_variant(variant)
    if rate is None:
        measured = known(workspace).get(variant)
        if measured is None:
            raise SpecError(
                f"{variant!r} was never measured; `rivals capacity {variant} --url ...` does, or say --rate."
            )
        rate = measured.rate
    place, wish = workspace.spec.deploy.variants.get(variant), workspace.endpoint.capacity
    scale = Scale(place.least, place.most or place.least, place.signal, place.target) if place else Scale()
    if wish is None:
        return Policy(scale, rate, start)
    return Policy(scale, rate, start, peak=wish.peak, headroom=wish.headroom)
