"""From the project to a platform's files, and from one platform's to another's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rivals.errors import Refused, RivalsError, SpecError
from rivals.flows.deploy import apply, deployment_of, import_files, render, use_of
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
endpoint: {name: toys, champion: one, shadows: [two]}
deploy: {images: localhost/toys, bundles: "s3://models/toys", variants: {two: {least: 2, most: 4, signal: in_flight, target: 8}}}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "rivals.yaml").write_text(PROJECT)
    workspace = open_workspace(folder)
    assert not train_project(workspace).failed
    return workspace


def test_what_is_deployed_is_what_the_project_asks_for(built: Workspace) -> None:
    found = deployment_of(built)
    assert [(piece.variant, piece.weight, piece.mirrored) for piece in found.pieces] == [("one", 1, 0), ("two", 0, 1)]
    digest = built.trained("two").digest
    assert found.piece("two").image == f"localhost/toys-two:{digest[:12]}"
    assert found.piece("two").uri == f"s3://models/toys/{digest}"
    assert found.piece("two").scale.most == 4


def test_files_are_written_again_and_others_are_left_alone(built: Workspace, tmp_path: Path) -> None:
    found = deployment_of(built)
    names = render(found, Use("kubernetes"), tmp_path)
    assert "base/two.yaml" in names
    fewer = render(found, Use("kubernetes", {"clouds": ["eks"]}), tmp_path)
    assert not (tmp_path / "overlays/gke/kustomization.yaml").exists(), "what is not rendered any more is gone"
    assert set(fewer) < set(names)
    (tmp_path / "httproute.yaml").write_text("mine")
    with pytest.raises(Refused, match=r"httproute.yaml is there already and not from rivals"):
        render(found, Use("gateway"), tmp_path)
    assert (tmp_path / "httproute.yaml").read_text() == "mine"
    assert (tmp_path / "base/two.yaml").exists(), "nothing was taken away before it was refused"


def test_mistakes_are_told_in_a_sentence(built: Workspace, tmp_path: Path) -> None:
    with pytest.raises(RivalsError, match=r"No target is called 'kubernets'\. Did you mean 'kubernetes'"):
        render(deployment_of(built), Use("kubernets"), tmp_path)
    with pytest.raises(SpecError, match="--with takes key=value, not 'clouds'"):
        use_of("kubernetes", ["clouds"])
    with pytest.raises(RivalsError, match="There is no variant 'three'"):
        deployment_of(built, "three")
    other = open_workspace(built.folder, ["deploy.variants={tow: {}}"])
    with pytest.raises(SpecError, match=r"deploy.variants: there is no variant 'tow'\. Did you mean 'two'"):
        deployment_of(other)


def test_applying_needs_the_platforms_own_command(
    built: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    render(deployment_of(built), Use("kubernetes"), tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RivalsError, match="--apply needs kubectl, which is not installed here"):
        apply(Use("kubernetes"), tmp_path)
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho conflict: another manager >&2; exit 1\n")
    kubectl.chmod(0o755)
    with pytest.raises(RivalsError, match="ended with 1: conflict: another manager"):
        apply(Use("kubernetes"), tmp_path)


def test_one_platforms_words_become_anothers(tmp_path: Path) -> None:
    """Seldon's Experiment, read by the command line, written as a SageMaker configuration, and read again."""
    from tests.infra.test_foreign import SELDON

    (tmp_path / "seldon.yaml").write_text(SELDON)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rivals", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )

    done = run("import", "seldon.yaml", "--out", "state.yaml")
    assert done.returncode == 0, done.stderr
    done = run("deploy", "sagemaker", "--from", "state.yaml", "--out", "there", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"folder": "there", "files": ["endpoint-config.json"]}
    found = import_files([tmp_path / "there"])
    assert {piece.variant: piece.weight for piece in found.arms} == {"iris": 0.5, "iris2": 0.5}
    done = run("lint", "seldon.yaml", "there")
    assert done.returncode == 1
    assert "SageMaker splits request by request" in done.stdout
    done = run("import", "nothing.yaml")
    assert done.returncode == 2
    assert "nothing.yaml cannot be read" in done.stderr
    assert "Traceback" not in done.stderr
