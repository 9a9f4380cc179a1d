"""The files by which MLflow knows a bundle as a model: written as text, so that no MLflow is needed to build."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from rivals.values import Signature

SERVING = ("rivals", "numpy", "onnxruntime", "msgspec", "pandas", "mlflow-skinny")
TYPES = {"number": "double", "text": "string"}  # double: MLflow turns away what it would have to narrow


def write_mlmodel(folder: Path, signature: Signature, packages: Sequence[str] = ()) -> None:
    """Write ``MLmodel``, ``python_env.yaml``, ``requirements.txt``; ``packages`` are needed besides the runtime's."""
    width = len(signature.labels) or 1
    model = {
        "flavors": {
            "python_function": {
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "rivals.serve.pyfunc",
                "python_version": platform.python_version(),
            }
        },
        "signature": {
            "inputs": json.dumps([{"type": TYPES[c.kind], "name": c.name, "required": True} for c in signature.inputs]),
            "outputs": json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, width]}}]),
        },
    }
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    (folder / "MLmodel").write_text(yaml.safe_dump(model, sort_keys=False))
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment, sort_keys=False))
    (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in _pins([*SERVING, *packages])))


def _pins(packages: Sequence[str]) -> list[str]:
    pins = []
    for package in packages:
        try:
            pins.append(f"{package}=={version(package)}")
        except PackageNotFoundError:  # not needed where it was built, as pandas is not for serving
            continue
    return sorted(pins)
