"""Every target: what it writes, it reads; what it has no words for, it refuses with a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from rivals.errors import SpecError
from rivals.infra.foreign import target_of
from rivals.infra.lint import lint
from rivals.placement import Deployment, whole
from rivals.plugins import make, names
from rivals.protocols import Target
from rivals.values import Use
from tests.infra.targets.deployments import FLIGHTS, deployments, documents

TARGETS = names(Target)
KNOWN = {"request by request", "compared by its operation only"}  # what no words of the platform can mend


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deployment=deployments())
def test_what_is_written_reads_back_as_what_is_written_again(name: str, deployment: Deployment) -> None:
    target = make(Target, Use(name))
    try:
        files = target.render(deployment)
    except SpecError as refused:
        assert str(refused).endswith(("it.", "them.", ".")), refused
        return
    found = documents(files)
    assert target_of(found) == ("kubernetes" if name == "helm" else name)
    back = target.read(found)
    assert target.render(back) == files
    assert back.champion == deployment.champion
    assert [piece.variant for piece in back.pieces] == [piece.variant for piece in deployment.pieces]


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deployment=deployments())
def test_what_is_written_has_no_trap_that_could_be_mended(name: str, deployment: Deployment) -> None:
    try:
        found = documents(make(Target, Use(name)).render(deployment))
    except SpecError:
        return
    mendable = [trap for trap in lint(found) if not any(word in trap.what for word in KNOWN)]
    if not deployment.climb.steps:  # a canary without steps stands as it was asked for
        mendable = [trap for trap in mendable if "cut short by the last step" not in trap.what]
    assert [trap for trap in mendable if "trafficRouting" not in trap.what] == []


# Argo's and Flagger's controllers move the shares themselves: a file says only by which steps.
@pytest.mark.parametrize("name", [name for name in TARGETS if name not in {"argo", "flagger"}])
def test_shares_survive_to_what_the_platform_can_say(name: str) -> None:
    plain = Deployment(FLIGHTS.name, FLIGHTS.champion, FLIGHTS.pieces[:2], FLIGHTS.router)
    target = make(Target, Use(name))
    back = target.read(documents(target.render(plain)))
    assert {piece.variant: round(piece.weight, 4) for piece in back.pieces} == {"blend": 0.9, "Big_Net": 0.1}


@pytest.mark.parametrize("name", TARGETS)
def test_the_commands_that_apply_name_files_that_were_written(name: str, tmp_path: Path) -> None:
    target = make(Target, Use(name))
    two = Deployment("flights", "blend", FLIGHTS.pieces[:2], FLIGHTS.router)
    files = target.render(two)
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    for words in target.apply(tmp_path):
        paths = [Path(word.removeprefix("file://")) for word in words if str(tmp_path) in word]
        assert paths
        assert all(path.exists() for path in paths)


def test_whole_shares_add_up_and_nobody_is_rounded_away() -> None:
    assert whole([0.9, 0.1]) == [90, 10]
    assert whole([1, 1, 1]) == [34, 33, 33]
    assert whole([0.999, 0.001]) == [99, 1]
    assert whole([0.0, 1.0]) == [0, 100]
    assert whole([0.0]) == [0]


@pytest.mark.parametrize(
    ("name", "pieces", "sentence"),
    [
        ("kserve", FLIGHTS.pieces, "KServe has no shadows, and 'old' is one"),
        ("argo", FLIGHTS.pieces, "one challenger to the top, and here it is Big_Net, old"),
        ("flagger", FLIGHTS.pieces[:1], "one challenger, and here it is nobody"),
    ],
)
def test_what_a_platform_has_no_words_for_is_refused(name: str, pieces: tuple, sentence: str) -> None:
    with pytest.raises(SpecError, match=sentence):
        make(Target, Use(name)).render(Deployment("flights", "blend", pieces, FLIGHTS.router))
