"""The JSON Schema takes what rivals takes, and refuses what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from rivals.flows.init import TEMPLATES
from rivals.spec.schema import schema

ROOT = Path(__file__).resolve().parents[2]
PROJECTS = [*sorted(ROOT.glob("examples/*/rivals.yaml")), *sorted(TEMPLATES.glob("*/rivals.yaml"))]
WRONG: list[tuple[str, Any]] = [
    ("data.tagret", "y"), ("data.task", "binry"), ("data.split.gap", "10x"), ("data.split.test", "20 percent"),
    ("data.source", {"use": "csv", "wiht": {}}), ("data.sets", {"a b": "csv"}), ("variants.0.name", "a b"),
    ("variants.0.matrix", {"feature": ["x"]}), ("variants.0.matrix", {"features": "x"}), ("seed", "one"), ("nothing", 1),
    ("limits", {"seconds": "soon"}), ("tuning", {"budget": "soon"}), ("endpoint", {"name": "e", "capture": {"features": "some"}}), ("variants", []),
]  # fmt: skip


def errors(document: Any) -> list[Any]:
    try:
        from jsonschema import Draft202012Validator
    except ModuleNotFoundError:
        pytest.skip("jsonschema is not installed: the schema is checked by its structure alone")
    Draft202012Validator.check_schema(schema())
    return list(Draft202012Validator(schema()).iter_errors(document))


def test_every_key_stands_in_the_schema_closed_and_most_are_explained() -> None:
    made = schema({"Source": ["csv"], "Step": ["impute"], "Family": ["sklearn"], "Judge": [], "Policy": ["split"]})
    parts = {**made["$defs"], "": made}
    assert all(part["additionalProperties"] is False for part in parts.values())
    keys = parts["VariantSpec"]["properties"]
    assert {"name", "data", "features", "family", "with", "members", "model", "columns", "matrix"} <= keys.keys()
    assert keys["family"]["anyOf"][0]["examples"] == ["sklearn", "ensemble"]
    assert parts["DataSpec"]["properties"]["label_delay"]["description"].startswith("how long after its answer")
    assert made["properties"]["data"]["$ref"] == "#/$defs/DataSpec"


def test_tuning_as_the_docs_write_it_fits_and_its_tuners_are_offered() -> None:
    document = yaml.safe_load((TEMPLATES / "binary" / "rivals.yaml").read_text())
    document["tuning"] = {"budget": "60s"}
    document["variants"][0]["tune"] = {"use": "optuna", "with": {"space": "auto"}}
    assert not errors(document)
    tune = schema({"Tuner": ["optuna"]})["$defs"]["VariantSpec"]["properties"]["tune"]
    assert tune["anyOf"][0]["examples"] == ["optuna"]


@pytest.mark.parametrize("file", PROJECTS, ids=lambda path: path.parent.name)
def test_the_projects_that_come_along_fit_it(file: Path) -> None:
    assert not errors(yaml.safe_load(file.read_text()))


@pytest.mark.parametrize(("key", "value"), WRONG, ids=lambda one: str(one)[:30])
def test_what_rivals_refuses_does_not_fit_it(key: str, value: Any) -> None:
    document = yaml.safe_load((TEMPLATES / "binary" / "rivals.yaml").read_text())
    *parents, last = key.split(".")
    here = document
    for part in parents:
        here = here[int(part)] if part.isdigit() else here[part]
    here[last] = value
    assert errors(document)
