"""The user's own code, by its name: ``module:function``."""

from __future__ import annotations

import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rivals.errors import SpecError
from rivals.plugins import nearest

NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def named(name: str) -> Callable[..., Any]:
    """The function of that name. Raises ``SpecError`` where module or function is not there."""
    module_name, _, function = name.partition(":")
    if not NAMED.fullmatch(name):
        raise SpecError(f"{name!r} does not name a function; write module:function, as flights:load.")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not f"{module_name}.".startswith(f"{error.name}."):
            raise  # the module is there, and misses something itself
        raise SpecError(f"{name}: there is no module {module_name!r}; it stands beside the project file.") from error
    for part in function.split("."):
        if not hasattr(found, part):
            hint = nearest(part, [known for known in dir(found) if not known.startswith("_")])
            raise SpecError(f"{name}: {module_name} has no {part!r}.{hint}")
        found = getattr(found, part)
    if not callable(found):
        raise SpecError(f"{name} is no function but a {type(found).__name__}.")
    return found  # type: ignore[no-any-return]  # getattr knows no better


def texts(options: Any) -> dict[str, str]:
    """The source text of every module that some option names: other code, another wish."""
    return {name: _text(name.partition(":")[0]) for name in sorted(set(_names(options)))}


def _names(options: Any) -> Iterator[str]:
    if isinstance(options, str):
        if NAMED.fullmatch(options):
            yield options
    elif isinstance(options, Mapping):
        for value in options.values():
            yield from _names(value)
    elif isinstance(options, Sequence):
        for value in options:
            yield from _names(value)


def _text(module: str) -> str:
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""  # not there, or no text: refused when it is called, or as fixed as an installed package
    return Path(spec.origin).read_text()
