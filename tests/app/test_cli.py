"""The command line: quick, and never a traceback."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "numpy", "pandas", "sklearn", "mlflow", "lightgbm", "onnx", "onnxruntime", "skl2onnx", "scipy", "pyarrow",
    "sqlalchemy", "pydantic", "starlette", "uvicorn", "uvloop", "httptools", "yaml", "msgspec",
}  # fmt: skip


def rivals(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rivals", *words], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_imports_the_faces_and_nothing_of_the_rooms() -> None:
    code = (
        "import sys, json\nfrom rivals.app.cli import app\nfrom typer.testing import CliRunner\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\nprint(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert {name for name in loaded if name.partition(".")[0] in HEAVY} == set()
    ours = {name for name in loaded if name.startswith("rivals")}
    faces = {
        "rivals",
        "rivals.app",
        "rivals.app.ci",
        "rivals.app.cli",
        "rivals.app.deploying",
        "rivals.app.provenance",
        "rivals.app.scaling",
        "rivals.app.serving",
        "rivals.app.steering",
        "rivals.app.training",
        "rivals.app.verb",
    }
    assert ours == faces | {"rivals.errors", "rivals.strategy"}


@pytest.mark.parametrize("verb", ["plan", "train", "compare", "gate", "status", "history", "verify", "serve"])
def test_a_missing_project_is_one_sentence_and_exit_2(verb: str, tmp_path: Path) -> None:
    done = rivals(verb, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "there is no project file here" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_misspelt_plugin_names_the_nearest(tmp_path: Path) -> None:
    text = "project: p\ndata: {source: {use: cvs}, task: binary, target: y}\nvariants: [{name: a, family: sklearn}]\n"
    (tmp_path / "rivals.yaml").write_text(text)
    done = rivals("plan", cwd=tmp_path)
    assert done.returncode == 2
    assert "No source is called 'cvs'. Did you mean 'csv'?" in done.stderr


def test_the_schema_names_every_key_of_the_contract() -> None:
    schema = json.loads(rivals("schema").stdout)
    assert {"project", "data", "features", "metrics", "variants", "gate", "endpoint"} <= set(schema["properties"])
