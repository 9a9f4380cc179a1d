"""What the workers are told of the project's wish."""

from __future__ import annotations

from pathlib import Path

import pytest

from rivals.errors import SpecError
from rivals.flows.serve import endpoint_config
from rivals.flows.workspace import Workspace, open_workspace

PROJECT = """
project: toy
data: {{source: {{use: csv, with: {{path: rows.csv}}}}, task: binary, target: y, id: row}}
variants: [{{name: a, model: "./a"}}]
endpoint: {{name: e, unit: customer{more}}}
"""


def workspace_of(folder: Path, more: str = "") -> Workspace:
    (folder / "rivals.yaml").write_text(PROJECT.format(more=more))
    return open_workspace(folder)


def test_nothing_is_captured_or_signed_where_nobody_asks(tmp_path: Path) -> None:
    config = endpoint_config(workspace_of(tmp_path), "wall")
    assert (config.capture, config.signed, config.rating, config.keep) == (0.0, False, None, 30 * 86_400.0)


def test_the_wish_reaches_the_workers(tmp_path: Path) -> None:
    more = ", capture: {features: 5%, keep: 2d, redact: [customer, row]}, feedback: {signed: true, rating: [1, 5]}"
    config = endpoint_config(workspace_of(tmp_path, more), "wall")
    assert (config.capture, config.keep, config.redact) == (0.05, 2 * 86_400.0, ("customer", "row"))
    assert (config.signed, config.rating) == (True, (1.0, 5.0))


def test_a_misspelt_redaction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no request brings a column 'custommer'.*customer"):
        endpoint_config(workspace_of(tmp_path, ", capture: {redact: [custommer]}"), "wall")
