"""The claims of each door, kept from outside: run `pytest` here once rivals and this package are installed."""

from pathlib import Path

import pytest

from rivals import plugins, testing
from rivals.protocols import Family, Source, Step
from rivals.values import Use


class TestQuadratic(testing.Families):
    def make(self) -> Family:
        return plugins.make(Family, Use("quadratic", {"strength": 0.5}))


class TestRobust(testing.Steps):
    def make(self) -> Step:
        return plugins.make(Step, Use("robust"))


class TestJsonLines(testing.Sources):
    @pytest.fixture(autouse=True)
    def _files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, seed in (("rows", 0), ("more", 1)):
            testing.sample(seed=seed).to_json(tmp_path / f"{name}.jsonl", orient="records", lines=True)
        monkeypatch.chdir(tmp_path)

    def make(self) -> Source:
        return plugins.make(Source, Use("jsonl", {"path": "rows.jsonl"}))

    def other(self) -> Source:
        return plugins.make(Source, Use("jsonl", {"path": "more.jsonl"}))
