"""Rows that the endpoint itself was asked, with what became of them: the source that retraining reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from rivals.build.rows import digest, fingerprints
from rivals.errors import DataError
from rivals.flows.archive import archive_of
from rivals.flows.workspace import Workspace, open_workspace


class Exposures:
    """Captured requests and their labels, of the endpoint in the project file ``path``: one row per request.

    A row has the columns that were asked, the project's target with the label, and its time and its id where the
    project names columns for them that clients do not send. Rows without a label are left out, and so are those whose
    inputs were not captured (``endpoint.capture.features``).
    ``since``: the times of the rows, in seconds since the epoch.
    """

    def __init__(self, path: str = "rivals.yaml", since: float | None = None) -> None:
        self.path, self.since = path, since
        self._frame: pd.DataFrame | None = None

    def read(self) -> pd.DataFrame:
        """All rows, by time. Raises ``DataError`` where none was captured and labelled."""
        if self._frame is None:
            self._frame = _rows(open_workspace(Path(self.path)), self.since)
        return self._frame.copy(deep=False)

    def digest(self) -> str:
        """SHA-256 of what was read: labels that come later make other rows of it."""
        return digest(fingerprints(self.read()))


def _rows(workspace: Workspace, since: float | None) -> pd.DataFrame:
    data, endpoint = workspace.spec.data, workspace.endpoint
    if endpoint.capture is None or not endpoint.capture.features:
        raise DataError(
            f"source exposures: endpoint {endpoint.name!r} keeps no inputs; endpoint.capture.features: all does."
        )
    found: list[dict[str, Any]] = []
    asked: set[str] = set()
    for one in archive_of(workspace).captured():
        late = since is None or one.exposure.time >= since
        if one.inputs is None or one.label is None or one.exposure.id in asked or not late:
            continue
        asked.add(one.exposure.id)  # a shadow was asked the same
        row = {**one.inputs, data.target: one.label}
        if data.time and data.time not in row:
            row[data.time] = one.exposure.time
        if data.id and data.id not in row:
            row[data.id] = one.exposure.id
        found.append({"_time": one.exposure.time, "_id": one.exposure.id, **row})
    if not found:
        raise DataError(f"source exposures: no captured request of {endpoint.name!r} has a label yet.")
    frame = pd.DataFrame(found).sort_values(["_time", "_id"], ignore_index=True)
    return frame.drop(columns=["_time", "_id"])
