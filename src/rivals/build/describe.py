"""A scikit-learn pipeline as plain values, and back: its classes by name and their parameters, never a pickle.

A part is ``{use: module:Class, with: {parameter: value}}``, with the parameters that differ from the class's own
defaults. What YAML has no word for is written the same way: ``{use: tuple, with: [1, 2]}``, ``{use: dict, with: [[key,
value]]}``, ``{use: slice, ...}``, ``{use: array, with: [values, dtype]}``, and a function or a class itself as
``{use: import, with: module:name}``.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from rivals.build.named import named
from rivals.errors import SpecError

PLAIN = (type(None), bool, int, float, str)
# Parameters that hold named parts: there a list in a list is a tuple, as it is always written.
NAMED_PARTS = ("steps", "transformers", "transformer_list", "estimators")
SAID = {tuple: "tuple", dict: "dict", slice: "slice", np.ndarray: "array"}


def describe(estimator: Any, name: str = "the estimator") -> dict[str, Any]:
    """The description that ``recreate`` makes an equal, unfitted estimator of.

    Raises ``SpecError`` with the place and the way out where a part has none.
    """
    if isinstance(estimator, type) or not hasattr(estimator, "get_params"):
        told = f"the class {estimator.__name__}" if isinstance(estimator, type) else f"a {type(estimator).__name__}"
        raise SpecError(
            f"{name} is {told}, not an estimator; give an object with get_params(), as scikit-learn's have."
        )
    found: dict[str, Any] = _described(estimator, name)
    again = _described(recreate(found), name)
    if repr(again) != repr(found):  # NaN is not equal to itself
        raise SpecError(
            f"{name}: {type(estimator).__name__} changes its parameters when it is made; it cannot be described."
        )
    return found


def recreate(description: Any) -> Any:
    """What was described. Raises ``SpecError`` on a name that is not there."""
    if isinstance(description, list):
        return [recreate(one) for one in description]
    if not isinstance(description, Mapping):
        return description
    if not isinstance(description.get("use"), str) or set(description) - {"use", "with"}:
        raise SpecError(
            f"{dict(description)} describes nothing; write {{use: module:Class, with: {{parameter: value}}}}."
        )
    use = description["use"]
    given: Any = description.get("with")
    match use:
        case "tuple":
            return tuple(recreate(given))
        case "dict":
            return {_key(recreate(key)): recreate(value) for key, value in given}
        case "slice":
            return slice(*given)
        case "array":
            return np.array(given[0], dtype=given[1])
        case "import":
            return named(given)
    made, params = named(use), given or {}
    values = {key: recreate(value) for key, value in params.items()}
    for key in NAMED_PARTS:
        if isinstance(values.get(key), list):
            values[key] = [tuple(one) if isinstance(one, list) else one for one in values[key]]
    try:
        return made(**values)
    except TypeError as error:
        raise SpecError(f"{use}: {error}.") from error


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _described(value: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if type(value) in PLAIN:
        return value
    if type(value) is list:
        return [_described(one, f"{where}[{i}]") for i, one in enumerate(value)]
    if type(value) in SAID:
        return {"use": SAID[type(value)], "with": _inside(value, where)}
    if isinstance(value, type) or inspect.isroutine(value) or isinstance(value, np.ufunc):
        return {"use": "import", "with": _importable(value, where)}
    params = _params(value, where)
    defaults = _defaults(type(value))
    said = {}
    for key, one in params.items():
        told = _described(one, f"{where}.{key}")
        if key not in defaults or repr(told) != repr(_or_nothing(defaults[key])):
            said[key] = _shortened(told) if key in NAMED_PARTS else told
    return {"use": _importable(type(value), where), **({"with": said} if said else {})}


def _inside(value: Any, where: str) -> Any:
    match value:
        case tuple():
            return [_described(one, f"{where}[{i}]") for i, one in enumerate(value)]
        case dict():
            return [[_described(key, where), _described(one, f"{where}[{key!r}]")] for key, one in value.items()]
        case slice():
            return [value.start, value.stop, value.step]
    if value.dtype == object:
        raise SpecError(f"{where} holds an array of objects; give a list instead.")
    return [value.tolist(), str(value.dtype)]


def _shortened(told: Any) -> Any:
    if not isinstance(told, list):
        return told
    return [one["with"] if isinstance(one, Mapping) and one.get("use") == "tuple" else one for one in told]


def _or_nothing(default: Any) -> Any:
    """A default as it would be described; what cannot be is never equal."""
    try:
        return _described(default, "")
    except SpecError:
        return object()


def _params(value: Any, where: str) -> dict[str, Any]:
    """Parameters by ``get_params``, or of a plain object that keeps what it was made with (splitters, selectors)."""
    if hasattr(value, "get_params"):
        return dict(value.get_params(deep=False))
    names = _defaults(type(value))
    if names and type(value).__module__ != "numpy.random.mtrand" and all(hasattr(value, key) for key in names):
        return {key: getattr(value, key) for key in names}
    kind = type(value).__name__
    way = "give a whole number as the seed" if "andom" in kind else "use a number, a text, a list or an estimator there"
    raise SpecError(f"{where} is a {kind}, which cannot be described; {way}.")


def _defaults(kind: type) -> dict[str, Any]:
    try:
        known = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return {}
    return {one.name: one.default for one in known if one.kind is not one.VAR_KEYWORD}


def _importable(value: Any, where: str) -> str:
    """``module:name`` under which another process finds it; the shortest module that has it."""
    name, module = getattr(value, "__qualname__", value.__name__), getattr(value, "__module__", "")
    module = module or "numpy"  # a universal function says nothing
    kind = "class" if isinstance(value, type) else "function"
    if module == "__main__":
        raise SpecError(
            f"{where}: the {kind} {name} is written in this script or notebook; put it into a module beside it."
        )
    if "<" in name:
        raise SpecError(f"{where}: {name} has no name that another process could import; write a function in a module.")
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        shorter = ".".join(parts[:count])
        found: Any = importlib.import_module(shorter)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is value:
            return f"{shorter}:{name}"
    raise SpecError(f"{where}: the {kind} {name} is not found in {module}; put it at the top of a module.")
