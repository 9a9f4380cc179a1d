"""Images and Compose: what is written is closed, has no builder in it, and no fault that a linter knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rivals.infra.reading import documents_of
from rivals.plugins import make
from rivals.protocols import Target
from rivals.values import Use
from tests.infra.targets.deployments import FLIGHTS
from tests.parts import part

FILES = make(Target, Use("compose")).render(FLIGHTS)
DOCKERFILES = sorted(name for name in FILES if name.endswith("Dockerfile"))


def test_there_is_an_image_for_the_router_and_one_a_variant() -> None:
    assert [name.split("/")[0] for name in DOCKERFILES] == [
        "router",
        "variant-big-net-844ddc",
        "variant-blend",
        "variant-old",
    ]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_an_image_is_named_by_its_base_first_runs_as_nobody_and_builds_in_another_stage(name: str) -> None:
    lines = FILES[name].splitlines()
    assert lines[0].startswith("ARG BASE_IMAGE=")
    last = lines[len(lines) - lines[::-1].index("FROM ${BASE_IMAGE}") :]
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["rivals"]' in last
    assert not [line for line in last if line.startswith("RUN")]


def test_hadolint_has_nothing_to_say(tmp_path: Path) -> None:
    paths = []
    for name in DOCKERFILES:
        paths.append(tmp_path / name.replace("/", "."))
        paths[-1].write_text(FILES[name])
    done = subprocess.run(
        [
            str(beside) if (beside := Path(sys.executable).with_name("hadolint")).exists() else part("hadolint"),
            "--no-color",
            *map(str, paths),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_service_is_closed_and_only_the_router_has_a_port_on_loopback() -> None:
    (document,) = documents_of(FILES["compose.yaml"], "compose.yaml")
    services = document["services"]
    assert {name: one["ports"] for name, one in services.items() if "ports" in one} == {
        "router": ["127.0.0.1:8080:8080"]
    }
    for one in services.values():
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert one["secrets"] == ["token"]
        assert one["healthcheck"]["test"][0] == "CMD"
    assert set(services["router"]["depends_on"]) == set(services) - {"router"}
