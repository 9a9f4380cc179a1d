"""``rivals.compare``: estimators and a frame instead of a project file. It writes the file; the rest is as ever."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from sklearn.base import is_classifier, is_regressor

from rivals.build.describe import describe
from rivals.build.named import names_in
from rivals.build.reach import PACKAGE, reached
from rivals.errors import BuildError, DataError, SpecError
from rivals.flows.compare import compare_project, prediction_hashes
from rivals.flows.project import Project
from rivals.flows.train import train_project
from rivals.spec.project import holds_password
from rivals.tables import html

if TYPE_CHECKING:
    from rivals.decide.compare import Leaderboard
    from rivals.flows.live import Serving

ROWS = "rows.parquet"
PLACE = Path(".rivals") / "comparisons"
TRACKING = "MLFLOW_TRACKING_URI"  # as MLflow itself reads it


@dataclass(frozen=True)
class Comparison:
    """Variants built on one frame and ranked; it shows itself as its leaderboard.

    ``failed`` says why a variant was not built, ``notes`` what its building said.
    """

    project: Project
    leaderboard: Leaderboard
    failed: Mapping[str, str]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join([repr(self.leaderboard), *self._failures(), *self.notes])

    def _repr_html_(self) -> str:
        shown = self.leaderboard._repr_html_()
        return shown + (html(["failed"], [[one] for one in self._failures()]) if self.failed else "")

    @property
    def recommended(self) -> str:
        """The variant to take: the cheapest of those that cannot be told apart from the best."""
        return self.leaderboard.recommended

    @cached_property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each variant's predictions."""
        return prediction_hashes(self.project.workspace)

    @property
    def mlflow(self) -> str:
        """The tracking URI under which ``mlflow ui --backend-store-uri`` shows the runs."""
        return self.project.workspace.tracking_uri

    def serve(self, challenger: str | None = None, *, port: int = 0, control_port: int = 0) -> Serving:
        """Put the variants behind one endpoint on this machine, and start the challenger's canary.

        Use it in a ``with``, or call ``stop()``. ``challenger`` is the best variant that is not the champion if none is
        named; port 0 is any free one.
        """
        from rivals.flows.live import begin  # noqa: PLC0415 -- comparing needs no server

        ranked = [row.variant for row in self.leaderboard.rows]
        return begin(self.project, ranked, challenger, port, control_port)

    def export(self, folder: str | Path) -> Path:
        """Write the project that builds the same variants: ``rivals.yaml``, the rows and your own modules.

        Raises ``SpecError`` where there is a project already.
        """
        into = Path(folder)
        if (into / "rivals.yaml").exists():
            raise SpecError(f"{into / 'rivals.yaml'} is there already; name another folder, or remove it first.")
        into.mkdir(parents=True, exist_ok=True)
        for name in ("rivals.yaml", ROWS):
            shutil.copyfile(self.project.workspace.folder / name, into / name)
        for module in _modules([variant.with_ for variant in self.project.workspace.spec.variants]):
            _copy_module(module, into)
        return into / "rivals.yaml"

    def _failures(self) -> list[str]:
        return [f"{name}: failed: {why}" for name, why in self.failed.items()]


def compare(
    variants: Mapping[str, Any],
    frame: Any,
    *,
    target: str,
    task: str | None = None,
    metrics: Sequence[str] = (),
    champion: str | None = None,
    split: Mapping[str, Any] | None = None,
    name: str = "comparison",
    folder: str | Path | None = None,
    seed: int = 0,
    **columns: Any,
) -> Comparison:
    """Build scikit-learn estimators on a frame, each in a process of its own, and rank them honestly.

    ``frame`` is a pandas, Polars or PyArrow table. ``columns`` are those with a role, as under ``data:`` in a project
    file: ``id``, ``time``, ``weight``, ``group``, ``ignore``; ``split`` is as there. Estimators are described by their
    classes and parameters and fitted anew; ``folder`` keeps what is built (``.rivals/comparisons/<name>`` if not said),
    so that nothing is built twice. Raises ``SpecError``, ``DataError``, ``BuildError``.
    """
    if not isinstance(variants, Mapping) or not variants:
        raise SpecError('Name the variants: rivals.compare({"a": pipeline, "b": other}, frame, target="late").')
    described = {str(key): describe(estimator, str(key)) for key, estimator in variants.items()}
    table = arrow(frame)
    if target not in table.column_names:
        raise DataError(f"There is no column {target!r}; the frame has {', '.join(table.column_names)}.")
    wish: dict[str, Any] = {
        "project": name,
        "data": {
            "source": {"use": "parquet", "with": {"path": ROWS}},
            "task": task or _task(variants, table[target]),
            "target": target,
            **{key: list(value) if isinstance(value, tuple) else value for key, value in columns.items()},
            **({"split": dict(split)} if split else {}),
        },
        "variants": [
            {"name": key, "family": "pipeline", "with": {"estimator": told}} for key, told in described.items()
        ],
        "endpoint": {"name": name, "champion": champion or next(iter(described))},
        "seed": seed,
    }
    if metrics:
        wish["metrics"] = list(metrics)
    if uri := os.environ.get(TRACKING):
        wish["tracking"] = {"env": TRACKING} if holds_password(uri) else {"uri": uri}
    place = Path(folder) if folder is not None else PLACE / name
    return _compared(place, wish, table)


def arrow(frame: Any) -> pa.Table:
    """Any frame that speaks Arrow, pandas, Polars and PyArrow among them, as a table. Raises ``DataError``."""
    try:
        if isinstance(frame, pd.DataFrame):
            return pa.Table.from_pandas(frame, preserve_index=False)
        if isinstance(frame, pa.Table):
            return frame
        if hasattr(frame, "__arrow_c_stream__"):
            return pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(f"The frame has a column that Arrow cannot hold: {error.args[0]}.") from error
    raise DataError(f"A {type(frame).__name__} is no frame; give a pandas, Polars or PyArrow table with named columns.")


def _compared(place: Path, wish: Mapping[str, Any], table: pa.Table) -> Comparison:
    place.mkdir(parents=True, exist_ok=True)
    file = place / "rivals.yaml"
    file.write_text(yaml.safe_dump(dict(wish), sort_keys=False, allow_unicode=True, width=120))
    project = Project(file)  # refused here: a name or a key that does not fit
    pq.write_table(table, place / ROWS)
    report = train_project(project.workspace)
    if not report.trained:
        first = next(iter(report.failed.items()))
        raise BuildError(f"No variant could be built; {first[0]!r}: {first[1]}")
    return Comparison(project, compare_project(project.workspace), report.failed, report.notes)


def _task(variants: Mapping[str, Any], target: Any) -> str:
    """What the estimators are for; of classifiers, as many labels as the target has."""
    if all(is_regressor(one) for one in variants.values()):
        return "regression"
    for key, one in variants.items():
        if not is_classifier(one):
            kind = "a regressor beside classifiers" if is_regressor(one) else "neither a classifier nor a regressor"
            raise SpecError(f"{key}: {type(one).__name__} is {kind}; all variants answer one question.")
    return "binary" if len(target.drop_null().unique()) <= 2 else "multiclass"  # noqa: PLR2004 -- that is what binary means


# -- the user's own modules --------------------------------------------------------------------------


def _modules(options: Any) -> list[str]:
    """The user's own top-level modules and packages that the description reaches."""
    pieces = [name for name in reached(sorted(set(names_in(options)))) if not name.startswith(PACKAGE)]
    return sorted({piece.partition(":")[0].partition(".")[0] for piece in pieces})


def _copy_module(module: str, into: Path) -> None:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise SpecError(f"The module {module!r} is not found as a file; copy it beside the exported project yourself.")
    origin = Path(spec.origin)
    if spec.submodule_search_locations:
        shutil.copytree(origin.parent, into / module, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    else:
        shutil.copyfile(origin, into / origin.name)
