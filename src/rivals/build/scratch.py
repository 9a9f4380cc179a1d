"""What one process of a build hands to the next: pickled by us, for us, in the project's own work folder.

Nothing else is ever unpickled, and nothing here outlives the build.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any


def put(file: Path, value: Any) -> None:
    """Write a value, with its folder if need be; for this user's eyes only."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)


def get(file: Path) -> Any:
    """Read what ``put`` wrote."""
    with file.open("rb") as stream:
        return pickle.load(stream)  # noqa: S301 -- our own process wrote it a moment ago, where only we can write
