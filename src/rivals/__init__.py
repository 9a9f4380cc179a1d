"""Many model variants: built side by side, compared honestly, served and decided on evidence.

``rivals.Project`` has the verbs, ``rivals.compare`` ranks estimators on a frame, ``rivals.Client`` asks a served
endpoint; the nouns are in ``rivals.values``, the mistakes in ``rivals.errors``.
Names load on first use, so that ``import rivals`` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rivals.client import AsyncClient, Client
    from rivals.errors import RivalsError
    from rivals.flows.frames import compare
    from rivals.flows.project import Project

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "Project", "RivalsError", "__version__", "compare"]

_HOMES = {
    "AsyncClient": "rivals.client",
    "Client": "rivals.client",
    "Project": "rivals.flows.project",
    "RivalsError": "rivals.errors",
    "compare": "rivals.flows.frames",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rivals' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
