"""A stage for worker processes, cleared at the end whatever happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Make a stage with these settings of the endpoint; its workers end with the test."""
    stages: list[Stage] = []

    def make(**config: Any) -> Stage:
        folder = tmp_path / str(len(stages))
        folder.mkdir()
        stages.append(Stage(folder, **config))
        return stages[-1]

    yield make
    for one in stages:
        one.stop()
