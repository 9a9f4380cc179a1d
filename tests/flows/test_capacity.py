"""A table gives what a rollout asks, as far as it is borne; nobody who goes back waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rivals.errors import RivalsError, SpecError
from rivals.flows.capacity import follow, known, tell, wanted
from rivals.flows.rollout import steer
from rivals.registry.ledger import Ledger
from rivals.values import Phase

from .conftest import Site

PLANNED = "  capacity: {peak: 100, headroom: 0.5}"


def shares(site: Site) -> dict[str, float]:
    return {arm.variant: arm.weight for arm in site.workspace.table().arms}


@pytest.fixture
def rising(site: Callable[..., Site]) -> Site:
    """A challenger that is asked to take half of 100 requests a second; a replica may be asked for 20."""
    made = site(PLANNED)
    tell(made.workspace, "new", rate=40.0)
    made.start()
    steer(made.workspace, "advance", by="ann")
    return made


def test_a_step_gives_what_is_borne_and_the_table_follows_the_replicas(rising: Site) -> None:
    assert shares(rising) == pytest.approx({"old": 0.8, "new": 0.2})
    (running,) = rising.workspace.store.active_rollouts("toy")
    assert running.share == 0.5  # as it was decided
    assert wanted(rising.workspace)["new"] == 3
    assert not follow(rising.workspace, rising.now)
    tell(rising.workspace, "new", ready=2)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == pytest.approx({"old": 0.6, "new": 0.4})
    tell(rising.workspace, "new", ready=9)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == pytest.approx({"old": 0.5, "new": 0.5})
    tell(rising.workspace, "new", ready=0)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == {"old": 1.0}
    tell(rising.workspace, "new", ready=1)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == pytest.approx({"old": 0.8, "new": 0.2})
    Ledger(rising.workspace.store).verify()


def test_units_that_moved_to_the_challenger_stay_when_it_is_given_more(rising: Site) -> None:
    before = rising.workspace.table().slots
    tell(rising.workspace, "new", ready=2)
    follow(rising.workspace, rising.now)
    after = rising.workspace.table().slots
    assert all(now == 1 for then, now in zip(before, after, strict=True) if then == 1)
    assert sum(after) == 4_000


def test_who_was_never_measured_gets_nothing(site: Callable[..., Site]) -> None:
    made = site(PLANNED)
    made.start()
    steer(made.workspace, "advance", by="ann")
    assert shares(made) == {"old": 1.0}


def test_where_nothing_is_planned_nothing_is_bounded(site: Callable[..., Site]) -> None:
    made = site()
    made.start()
    steer(made.workspace, "advance", by="ann")
    assert shares(made) == pytest.approx({"old": 0.5, "new": 0.5})
    assert not follow(made.workspace, made.now)


def test_a_new_champion_takes_over_as_it_is_scaled(rising: Site) -> None:
    assert steer(rising.workspace, "promote", by="ann").phase is Phase.PROMOTED
    assert rising.workspace.table().champion == "new"
    assert shares(rising) == pytest.approx({"new": 0.2, "old": 0.8})
    tell(rising.workspace, "new", ready=4)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == pytest.approx({"new": 0.8, "old": 0.2})
    tell(rising.workspace, "new", ready=5)
    assert follow(rising.workspace, rising.now)
    assert shares(rising) == {"new": 1.0}


def test_who_goes_back_goes_at_once_whoever_bears_it(rising: Site) -> None:
    steer(rising.workspace, "promote", by="ann")
    steer(rising.workspace, "rollback", by="ann")
    assert shares(rising) == {"old": 1.0}
    assert not follow(rising.workspace, rising.now)
    assert shares(rising) == {"old": 1.0}


def test_what_cannot_be_is_refused(site: Callable[..., Site]) -> None:
    made = site(PLANNED)
    with pytest.raises(SpecError, match="'new' was never measured"):
        tell(made.workspace, "new", ready=2)
    with pytest.raises(SpecError, match="more than 0 requests a second"):
        tell(made.workspace, "new", rate=0.0)
    with pytest.raises(RivalsError, match="no variant 'nwe'"):
        tell(made.workspace, "nwe", rate=1.0)
    assert known(made.workspace) == {}
