from __future__ import annotations

from pathlib import Path

import pytest

from rivals.build.named import named, names_in
from rivals.errors import SpecError

from .toy import HERE


def test_a_function_is_found_by_its_name() -> None:
    assert named(f"{HERE}:load").__name__ == "load"


def test_a_module_that_misses_something_itself_says_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_that_misses.py").write_text("import not_installed_anywhere\n")
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        named("module_that_misses:load")
    with pytest.raises(SpecError, match="no module 'module_that_is_not'"):
        named("module_that_is_not:load")


def test_every_function_that_options_name_is_found() -> None:
    found = names_in(
        {"a": ["flights:load", {"b": "nowhere:f"}], "c": "models:/x", "d": 3, "e": "mine.Own", "f": "Plain"}
    )
    assert list(found) == ["flights:load", "nowhere:f", "mine:Own"]
