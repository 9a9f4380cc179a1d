"""examples/plugin installs from outside, passes the claims of its doors, and is named in a project file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rivals.testing import Families, Sources, Steps, sample

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "plugin"
PROJECT = """\
project: outside
data: {source: {use: jsonl, with: {path: rows.jsonl}}, task: binary, target: y, ignore: [words]}
features: {robust: [{use: impute}, {use: robust}, {use: encode}]}
variants:
  - {name: quadratic, features: robust, family: quadratic, with: {strength: 0.5}}
"""


def run(*words: str | Path, cwd: Path, path: str = "") -> str:
    environment = {**os.environ, "PYTHONPATH": path, "PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run([*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_example_installs_from_outside_keeps_its_claims_and_builds(tmp_path: Path) -> None:
    ensurepip = pytest.importorskip("ensurepip", reason="this Python brings no pip: the example is not installed")
    assert ensurepip
    installer, target = tmp_path / "installer", tmp_path / "target"
    run(sys.executable, "-m", "venv", installer, cwd=tmp_path)
    shutil.copytree(EXAMPLE, tmp_path / "plugin")  # built apart from the repository
    pip = [installer / "bin" / "python", "-m", "pip", "--python", sys.executable]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--target", target]
    run(*pip, "install", *options, tmp_path / "plugin", cwd=tmp_path)
    shutil.copytree(EXAMPLE / "tests", tmp_path / "claims")
    told = run(sys.executable, "-m", "pytest", "-q", "claims", cwd=tmp_path, path=str(target))
    claims = [one for door in (Sources, Steps, Families) for one in dir(door) if one.startswith("test_")]
    assert told.splitlines()[-1].startswith(f"{len(claims)} passed"), told  # all, and none skipped
    folder = tmp_path / "project"
    folder.mkdir()
    sample().to_json(folder / "rows.jsonl", orient="records", lines=True)
    (folder / "rivals.yaml").write_text(PROJECT)
    built = run(sys.executable, "-m", "rivals", "train", cwd=folder, path=str(target))
    assert "quadratic" in built
    assert "onnx" in built
