"""What other tools call the data that a source reads: a ``.dvc`` file's hash, a Delta table's version."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from rivals.errors import DataError, MissingExtra
from rivals.plugins import extra_for
from rivals.values import Use

LOG = "_delta_log"


def version(source: Use) -> str:
    """``dvc:<md5>`` or ``delta:<number>``; empty where nobody gives the data a version.

    Raises ``DataError`` where the file is not the one its ``.dvc`` file names.
    """
    path = source.options.get("path")
    if not isinstance(path, str) or "://" in path:
        return ""
    place = Path(path)
    if (place / LOG).is_dir():
        asked = source.options.get("version")
        return f"delta:{delta(place, asked).version()}"
    beside = place.with_name(f"{place.name}.dvc")
    return f"dvc:{_dvc(beside, place)}" if beside.is_file() else ""


def delta(place: Path, number: int | None = None) -> Any:
    """The table in the folder, as it is or as it was at that version. Raises ``DataError`` or ``MissingExtra``."""
    try:
        from deltalake import DeltaTable  # noqa: PLC0415 -- an extra
        from deltalake.exceptions import DeltaError  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra(f"{place} is a Delta table; reading it takes {extra_for('deltalake')}.") from error
    try:
        return DeltaTable(str(place), version=number)
    except DeltaError as error:
        at = "" if number is None else f" at version {number}"
        raise DataError(f"{place} is not read as a Delta table{at}: {str(error).splitlines()[0]}") from error


def _dvc(file: Path, place: Path) -> str:
    try:
        (out,) = yaml.safe_load(file.read_text())["outs"]
        named = str(out["md5"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is not read as a .dvc file of one output: {error!r}") from error
    if place.is_file():
        with place.open("rb") as stream:
            actual = hashlib.file_digest(stream, "md5").hexdigest()
        if actual != named:
            raise DataError(
                f"{place} is not the file that {file.name} names (md5 {actual[:12]}, not {named[:12]}): "
                "`dvc checkout` brings that one, `dvc add` takes this one."
            )
    return named
