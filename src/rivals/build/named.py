"""The user's own code, by its name: ``module:function``, or ``package.module.Class`` of an estimator."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rivals.errors import SpecError
from rivals.plugins import nearest

DOTTED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w*)")
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


def names_in(options: Any) -> Iterator[str]:
    """Every ``module:function`` that options name, however deep; a dotted path is one too."""
    if isinstance(options, str):
        if NAMED.fullmatch(options):
            yield options
        elif dotted := DOTTED.fullmatch(options):
            yield ":".join(dotted.groups())
    elif isinstance(options, Mapping):
        for value in options.values():
            yield from names_in(value)
    elif isinstance(options, Sequence):
        for value in options:
            yield from names_in(value)
