"""A model that exists already: it is scored and served, never fitted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from rivals.build.named import NAMED, named
from rivals.errors import BuildError, SpecError

# What may be built from a file without asking: estimators and arrays, nothing that could run what the file says.
TRUSTED = re.compile(
    r"sklearn\.(?!externals|.*\btests?\b|datasets)[\w.]+|lightgbm\.(sklearn|basic)\.\w+|numpy\.(dtypes|random)\.[\w.]+"
    r"|numpy\.(ndarray|dtype|bool_?|u?int\d+|float\d+|longdouble|object_|str_)|collections\.(OrderedDict|defaultdict)"
)
PICKLES = {".pkl", ".pickle", ".joblib", ".cloudpickle", ".dill", ".pt", ".sav"}
FITTED_BY = ("classes_", "n_features_in_", "feature_names_in_")


class Ready:
    """A fitted scikit-learn pipeline: a ``.skops`` file, a folder that MLflow or rivals wrote, or ``module:function``.

    ``Ready("legacy.skops")``. Pickles are refused, for opening one runs whatever is in it.
    """

    def __init__(self, path: str) -> None:
        self.path = str(path)

    def estimator(self, task: str, seed: int) -> Any:  # noqa: ARG002 -- there is nothing left to draw
        """The fitted pipeline. Raises ``SpecError`` or ``BuildError`` with a sentence."""
        made = self._made()
        if not any(hasattr(made, name) for name in FITTED_BY):
            raise BuildError(f"{self.path}: {type(made).__name__} is not fitted; fit it before it is kept.")
        needed = "predict" if task == "regression" else "predict_proba"
        if not hasattr(made, needed):
            raise BuildError(f"{self.path}: {type(made).__name__} has no {needed}, and the task is {task}.")
        return made

    def _made(self) -> Any:
        place = Path(self.path)
        if not place.exists() and NAMED.fullmatch(self.path):
            return named(self.path)()
        if not place.exists():
            raise SpecError(f"There is no model at {self.path}; paths start where rivals is called.")
        return _opened(_inside(place) if place.is_dir() else place)


def files(path: str) -> list[Path]:
    """The files a ready model consists of, for its digest; none for ``module:function``."""
    place = Path(path)
    if place.is_dir():
        return sorted(file for file in place.rglob("*") if file.is_file())
    return [place] if place.exists() else []


def _inside(folder: Path) -> Path:
    """The skops file of a model folder."""
    described = folder / "MLmodel"
    if not described.exists():
        raise BuildError(f"{folder.name} is no model folder: it has no file MLmodel.")
    flavors = (yaml.safe_load(described.read_text()) or {}).get("flavors", {})
    named_file = str(flavors.get("sklearn", {}).get("pickled_model") or "model.skops")
    file = (folder / named_file).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.exists():
        told = ", ".join(flavors) or "none"
        raise BuildError(
            f"{folder.name} holds no scikit-learn model without pickle (flavors: {told}); save it with skops."
        )
    return file


def _opened(file: Path) -> Any:
    import skops.io  # noqa: PLC0415 -- seconds: it loads all of scikit-learn, and torch where that is installed

    if file.suffix in PICKLES:
        raise BuildError(
            f"{file.name} is a pickle: opening it would run whatever is in it. "
            "Save the pipeline with skops.io.dump instead."
        )
    try:
        strange = [name for name in skops.io.get_untrusted_types(file=file) if not TRUSTED.fullmatch(name)]
        if not strange:
            return skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    except Exception as error:  # a damaged file may raise anything
        raise BuildError(f"{file.name} cannot be opened as a skops file: {type(error).__name__}: {error}") from error
    raise BuildError(
        f"{file.name} holds {', '.join(strange[:3])}, which is not scikit-learn's, NumPy's or LightGBM's: it is not "
        "opened. Give the pipeline as module:function instead, if you trust it."
    )
