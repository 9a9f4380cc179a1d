"""Real parts that are no Python packages; a test whose part is missing says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

PARTS = Path(__file__).resolve().parents[1] / ".parts"


def part(*names: str) -> str:
    """The program of any of these names; skips, loudly, where there is none."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"MISSING PART: {names[0]}; `make parts` installs it")


def ci_part(name: str) -> str:
    """A program that runs or checks pipelines, from where ``make parts`` puts it; skips, loudly, where it is not."""
    for folder in ("bin", "node_modules/.bin"):
        if (found := PARTS / "ci" / folder / name).exists():
            return str(found)
    pytest.skip(f"MISSING PART: {name}; `make parts` installs it")
