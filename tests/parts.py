"""Real parts that are no Python packages; a test whose part is missing says so."""

from __future__ import annotations

import shutil

import pytest


def part(*names: str) -> str:
    """The program of any of these names; skips, loudly, where there is none."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"MISSING PART: {names[0]}; `make parts` installs it")
