"""What the workers are told of the project's wish."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from rivals.errors import SpecError
from rivals.flows.serve import endpoint_config
from rivals.flows.workspace import Workspace, open_workspace
from rivals.serve.question import Asked

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


def test_how_variants_are_asked_reaches_the_workers(tmp_path: Path) -> None:
    more = (
        ", asked: {a: {rows: 64, wait: 5ms, at_once: 9}}, fallback: [a], cors: ['*'], access_log: true, max_body_mb: 2"
    )
    config = endpoint_config(workspace_of(tmp_path, more), "wall")
    assert config.asked == {"a": Asked(64, 0.005, 9)}
    assert (config.fallback, config.cors, config.access_log, config.max_body_bytes) == (("a",), ("*",), True, 2 << 20)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (", asked: {b: {rows: 1}}", "no variant 'b'"),
        (", asked: {a: {rows: 0}}", "greater than 0"),
        (", fallback: [b]", "no variant 'b'"),
        (", shadows: [{variant: b}]", "no variant 'b'"),
        (", shadows: [{variant: a, share: 0}]", "greater than 0"),
        (", cors: [shop.example]", "is no origin; write it as https://shop.example"),
    ],
)
def test_a_wish_for_serving_that_makes_no_sense_is_refused(tmp_path: Path, more: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        workspace_of(tmp_path, more)


def test_an_interpreter_is_found_beside_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to(sys.executable)  # as in a virtual environment
    config = endpoint_config(workspace_of(tmp_path, ", asked: {a: {python: python}}"), "wall")
    assert config.asked["a"].python == str(tmp_path / "python")
    with pytest.raises(SpecError, match=r"endpoint.asked.a.python: gone/python is no interpreter"):
        endpoint_config(workspace_of(tmp_path, ", asked: {a: {python: gone/python}}"), "wall")


def test_a_shadow_is_a_name_or_a_name_with_a_share(tmp_path: Path) -> None:
    spec = workspace_of(tmp_path, ", shadows: [a, {variant: a, share: 10%}]").endpoint
    assert [(one.variant, one.share) for one in spec.shadows] == [("a", 1.0), ("a", 0.1)]
