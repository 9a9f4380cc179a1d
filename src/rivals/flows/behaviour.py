"""A variant's answers to questions that are changed on purpose, from its bundle and the project's own rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rivals.bundles import columns_of, read_manifest
from rivals.decide.judges.behaviour import Behaviour
from rivals.errors import DataError, RivalsError
from rivals.flows.workspace import Workspace
from rivals.plugins import nearest
from rivals.serve.runtimes import open_bundle
from rivals.values import Column, Columns, Signature, Trained

ROWS = 500  # that are asked about
NOISE = 0.1  # of a column's standard deviation
UNSEEN = "never seen before"

Answers = NDArray[np.float64]


def tried(workspace: Workspace, trained: Trained, inputs: pd.DataFrame, judge: Behaviour) -> dict[str, float]:
    """Figures for the judge, as ``behaviour.<kind>/<column>``; NaN where nothing was answered. Raises ``DataError``."""
    signature = read_manifest(workspace.blobs.path(trained.digest)).signature
    known = [column.name for column in signature.inputs]
    for name in (*judge.invariance, *judge.direction):
        if name not in known:
            raise DataError(f"judge behaviour: {trained.variant!r} has no input {name!r}.{nearest(name, known)}")
    rng = np.random.default_rng(workspace.spec.seed)
    few = inputs.iloc[np.sort(rng.permutation(len(inputs))[:ROWS])].reset_index(drop=True)
    return _Tried(_asked(workspace, trained), signature, few, rng).figures(judge)


def _asked(workspace: Workspace, trained: Trained) -> Any:
    return open_bundle(workspace.blobs.path(trained.digest), workspace.blobs.path)


class _Tried:
    """One variant and the rows it is asked about, as they are and changed."""

    def __init__(self, predictor: Any, signature: Signature, rows: pd.DataFrame, rng: np.random.Generator) -> None:
        self.predictor, self.signature, self.rows, self.rng = predictor, signature, rows, rng
        self.usual = self._answers(rows)
        spread = float(np.std(self.usual)) if signature.task == "regression" else 1.0
        self.unit = spread or 1.0

    def figures(self, judge: Behaviour) -> dict[str, float]:
        found = {f"invariance/{name}": self._moved(self._dealt(name)) for name in judge.invariance}
        found |= {f"direction/{name}": self._against(name, way) for name, way in judge.direction.items()}
        found["permuted/all columns"] = self._permuted()
        if judge.robustness is not None:
            for column in self.signature.inputs:
                found |= self._robust(column)
        return {f"behaviour.{name}": value for name, value in found.items()}

    def _robust(self, column: Column) -> Mapping[str, float]:
        name, found = column.name, dict[str, float]()
        if column.nullable:
            found[f"missing/{name}"] = self._moved(
                self.rows.assign(**{name: None if column.kind == "text" else np.nan})
            )
        if column.kind == "text":
            found[f"unseen/{name}"] = self._moved(self.rows.assign(**{name: UNSEEN}))
        else:
            noise = self.rng.normal(0, NOISE * self._spread(name), len(self.rows))
            found[f"noise/{name}"] = self._moved(self.rows.assign(**{name: self.rows[name] + noise}))
        return found

    def _dealt(self, name: str) -> pd.DataFrame:
        return self.rows.assign(**{name: self.rows[name].to_numpy()[self.rng.permutation(len(self.rows))]})

    def _against(self, name: str, way: str) -> float:
        """The share of the rows that move the wrong way when the column is raised."""
        if next(one for one in self.signature.inputs if one.name == name).kind != "number":
            raise DataError(f"judge behaviour: {name!r} holds texts; a direction is of numbers.")
        said = self._tried(self.rows.assign(**{name: self.rows[name] + self._spread(name)}))
        if said is None:
            return math.nan
        moved = (said - self.usual)[:, -1] * (1.0 if way == "up" else -1.0)
        return float((moved < -1e-9 * self.unit).mean())

    def _permuted(self) -> float:
        said = self._tried(self.rows[list(reversed(self.rows.columns))])
        return math.nan if said is None else float(np.abs(said - self.usual).max())

    def _moved(self, rows: pd.DataFrame) -> float:
        said = self._tried(rows)
        return math.nan if said is None else float(np.abs(said - self.usual).max(axis=1).mean() / self.unit)

    def _tried(self, rows: pd.DataFrame) -> Answers | None:
        try:
            said = self._answers(rows)
        except (RivalsError, ValueError, TypeError):
            return None
        return said if np.isfinite(said).all() else None

    def _answers(self, rows: pd.DataFrame) -> Answers:
        order = {name: number for number, name in enumerate(rows.columns)}
        columns = columns_of(rows, self.signature)
        put = dict(sorted(columns.values.items(), key=lambda item: order[item[0]]))  # noqa: PD011 -- no pandas
        return np.asarray(self.predictor.predict(Columns(put, columns.rows)), np.float64)

    def _spread(self, name: str) -> float:
        return float(self.rows[name].std()) or 1.0
