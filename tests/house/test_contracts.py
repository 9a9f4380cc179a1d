"""The floor plan holds, and its contracts bite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINT = Path(sys.executable).with_name("lint-imports")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run lint-imports on a copy of the package."""
    return subprocess.run(
        [str(LINT), "--no-cache"],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(folder / "src"), "PATH": "/usr/bin:/bin"},
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_package_keeps_its_contracts(copy: Path) -> None:
    found = lint(copy)
    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("serve/endpoint.py", "import rivals.registry.store", "One way down; rooms are strangers"),
        ("statistics/losses.py", "import rivals.build.train", "One way down; rooms are strangers"),
        ("app/cli.py", "import rivals.registry.store", "Faces speak to flows"),
        ("registry/store.py", "import mlflow", "MLflow lives in one file"),
        ("decide/rollout.py", "import time", "The judgement is pure"),
        ("serve/endpoint.py", "import pandas", "Serving needs no training package"),
        ("utils.py", "", "One way down; rooms are strangers"),
    ],
)
def test_a_broken_contract_is_named(copy: Path, file: str, line: str, contract: str) -> None:
    target = copy / "src" / "rivals" / file
    target.write_text((target.read_text() if target.exists() else "") + f"\n{line}\n")
    found = lint(copy)
    assert found.returncode != 0
    broken = found.stdout + found.stderr
    assert contract in broken
    assert f"{contract} KEPT" not in broken
