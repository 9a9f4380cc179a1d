"""What the data looked like at the first build: kept, compared with later builds, and given to the user."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pandas as pd

from rivals.build.schema import DataSchema, breaks, infer, script
from rivals.errors import DataError
from rivals.flows.workspace import Workspace
from rivals.spec.project import MAIN


def remember_schema(workspace: Workspace, name: str, frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """Keep the schema of a data set's columns at its first build; what breaks it at a later one, a sentence each."""
    if kept := schema_of(workspace, name):
        return breaks(kept, frame)
    with workspace.store.transaction() as tx:
        tx.put_state(_schema_key(name), msgspec.json.encode(infer(frame, columns)))
    return []


def schema_of(workspace: Workspace, name: str = MAIN) -> DataSchema | None:
    """What the data looked like at the first build; None before it."""
    raw = workspace.store.state(_schema_key(name))
    return msgspec.json.decode(raw, type=DataSchema) if raw else None


def schema_script(workspace: Workspace) -> str:
    """The schemas of all data sets that were built on, as a Python file of pandera schemas. Raises ``DataError``."""
    names = [MAIN, *workspace.spec.data.sets]
    known = {("schema" if name == MAIN else f"schema_{name}"): schema_of(workspace, name) for name in names}
    found = {name: schema for name, schema in known.items() if schema is not None}
    if not found:
        raise DataError("Nothing was built yet; `rivals train` infers the schema of the data.")
    return script(found)


def _schema_key(name: str) -> str:
    return f"schema/{name}"
