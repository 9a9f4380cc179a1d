"""What lies beside Dockerfiles: all that they copy, with the bundles' own pins, and a wheel of this very rivals."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rivals import __version__
from rivals.flows.deploy import deployment_of, render
from rivals.flows.images import fill, wheel
from rivals.flows.train import train_project
from rivals.flows.workspace import Workspace, open_workspace
from rivals.values import Use

PROJECT = """
project: toy
data: {source: {use: function, with: {function: "rivals.testing:sample"}}, task: binary, target: y}
features: {plain: [{use: impute, with: {columns: numeric}}, {use: encode, with: {columns: text}}]}
variants:
  - {name: one, features: plain, family: sklearn, with: {estimator: LogisticRegression}}
  - {name: two, features: plain, family: sklearn, with: {estimator: LogisticRegression, C: 0.1}}
  - {name: both, family: ensemble, members: [one, two], with: {combiner: mean}}
endpoint: {name: toys, champion: one, shadows: [both]}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("images")
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder)
    assert not train_project(workspace).failed
    return workspace


@pytest.fixture(scope="module")
def context(built: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `rivals deploy docker` writes."""
    out = tmp_path_factory.mktemp("context")
    found = deployment_of(built)
    render(found, Use("docker"), out)
    fill(built, found, out)
    return out


def pins(file: Path) -> dict[str, str]:
    return dict(line.split("==") for line in file.read_text().splitlines())


def test_all_that_is_copied_is_there(context: Path) -> None:
    sources = [
        source
        for file in context.rglob("Dockerfile")
        for line in file.read_text().splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for source in line.split()[1:-1]
        if not source.startswith("--")
    ]
    assert len(sources) == 3 * 3
    assert [source for source in sources if not (context / source).exists()] == []


def test_a_variant_has_its_own_bundle_and_its_members_and_the_router_has_all(context: Path, built: Workspace) -> None:
    one, two, both = (built.trained(name).digest for name in ("one", "two", "both"))
    assert {path.name for path in (context / "variant-one/bundles").iterdir()} == {one}
    assert {path.name for path in (context / "variant-both/bundles").iterdir()} == {one, two, both}
    state = context / "router/project/.rivals"
    assert {path.name for path in (state / "bundles").iterdir()} == {one, two, both}
    assert open_workspace(state.parent).trained("both").digest == both


def test_a_variants_packages_are_those_its_bundle_was_built_with(context: Path, built: Workspace) -> None:
    asked = pins(context / "variant-one/requirements.txt")
    named = built.blobs.path(built.trained("one").digest) / "requirements.txt"
    own = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pins(named).items()}
    assert own
    assert own.items() <= asked.items()
    assert asked["rivals"] == __version__


def test_the_wheel_is_the_same_each_time_and_is_rivals(tmp_path: Path) -> None:
    first, second = wheel(tmp_path / "a"), wheel(tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    into = tmp_path / "installed"
    words = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--target", str(into), str(first)]
    subprocess.run(words, check=True, capture_output=True)
    code = "import rivals.app.cli; print(rivals.__file__)"
    told = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(into)}, capture_output=True, text=True, check=True)  # fmt: skip
    assert told.stdout.strip() == str(into / "rivals" / "__init__.py")
