"""``make(door, use)``: the one lookup of a plug-in by its name."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from inspect import signature
from typing import TypeVar

from rivals.errors import MissingExtra, SpecError, UnknownPlugin
from rivals.protocols import DOORS
from rivals.values import Use

T = TypeVar("T")

# Which extra brings a technology; anything else is named by its own package.
EXTRAS = {
    "sklearn": "build", "pandas": "build", "pyarrow": "build", "lightgbm": "build",
    "mlflow": "build", "skl2onnx": "build", "skops": "build", "scipy": "build", "onnx": "build", "onnxmltools": "build",
    "threadpoolctl": "build", "optuna": "build", "hyperopt": "tune", "cmaes": "tune", "ray": "ray",
    "deltalake": "lake", "psycopg": "postgres", "cryptography": "release", "opentelemetry": "otel",
    "xgboost": "boosting", "catboost": "boosting", "torch": "torch", "skorch": "torch",
}  # fmt: skip


def make(door: type[T], use: Use) -> T:
    """Build the plug-in that ``use`` names, with the options it gives.

    Raises ``UnknownPlugin`` (with the nearest name), ``MissingExtra``, or ``SpecError`` where an option does not fit.
    """
    plugged = factory(door, use.name)
    try:
        signature(plugged).bind(**use.options)
    except TypeError as error:
        msg = f"{door.__name__} {use.name!r}: {error}. It takes {signature(plugged)}."
        raise SpecError(msg) from error
    plugin: T = plugged(**use.options)
    return plugin


def factory(door: type[T], name: str) -> type[T]:
    """What makes the plug-in of that name. Raises ``UnknownPlugin`` or ``MissingExtra``."""
    return _load(door, _find(door, name))


def check(door: type, name: str) -> None:
    """Refuse a name that no plug-in of the door has, without importing anything. Raises ``UnknownPlugin``."""
    _find(door, name)


def names(door: type) -> list[str]:
    """The installed plug-ins of a door, by name."""
    return sorted(_installed(DOORS[door]))


def nearest(wrong: str, known: list[str]) -> str:
    """A half-sentence for messages: the nearest name, or nothing."""
    plain = {name.casefold(): name for name in known}
    close = difflib.get_close_matches(wrong.casefold(), plain, n=1)
    return f" Did you mean {plain[close[0]]!r}?" if close else ""


def extra_for(module: str | None) -> str:
    """What to install so that ``module`` can be imported."""
    top = (module or "").partition(".")[0]
    return f"pip install 'rivals[{EXTRAS[top]}]'" if top in EXTRAS else f"pip install {top}"


def _find(door: type, name: str) -> EntryPoint:
    known = _installed(DOORS[door])
    if name not in known:
        kind = DOORS[door].removeprefix("rivals.")
        hint = f"{nearest(name, list(known))} Installed {kind}: {', '.join(sorted(known))}."
        raise UnknownPlugin(f"No {door.__name__.lower()} is called {name!r}.{hint}")
    return known[name]


def _load(door: type[T], entry: EntryPoint) -> type[T]:
    try:
        factory: type[T] = entry.load()
    except ModuleNotFoundError as error:
        msg = f"{door.__name__} {entry.name!r} needs the package {error.name!r}: {extra_for(error.name)}."
        raise MissingExtra(msg) from error
    return factory


@cache  # entry points do not change while a process lives, and reading them costs milliseconds
def _installed(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}
