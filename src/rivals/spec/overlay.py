"""What lies on top of a project file: further files, and single settings.

Mappings are merged key by key; lists whose items have names are merged by name, new ones after the old; a plug-in of
another name, and everything else, takes the place of what was there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rivals.errors import SpecError
from rivals.spec.lines import Lines, Path_, nearest


def merge(below: Any, lines: Lines, above: Any, theirs: Lines) -> Any:
    """The file ``above`` on top of ``below``; ``lines`` then says of each key which of the two files it is from."""
    return _merged(below, above, (), (), lines, theirs)


def _merged(below: Any, above: Any, here: Path_, there: Path_, lines: Lines, theirs: Lines) -> Any:
    if _mapping(below) and _mapping(above) and not _another(below, above):
        found = dict(below)
        for key, value in above.items():
            if key in below:
                found[key] = _merged(below[key], value, (*here, key), (*there, key), lines, theirs)
            else:
                found[key] = value
                lines.take(theirs, (*there, key), (*here, key))
        return found
    if _named(below) and _named(above):
        items = list(below)
        places = {item["name"]: index for index, item in enumerate(items)}
        for index, value in enumerate(above):
            place = places.get(value["name"])
            if place is None:
                lines.take(theirs, (*there, index), (*here, len(items)))
                items.append(value)
            else:
                items[place] = _merged(items[place], value, (*here, place), (*there, index), lines, theirs)
        return items
    lines.take(theirs, there, here)
    return above


def _mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _another(below: Mapping[str, Any], above: Mapping[str, Any]) -> bool:
    """Whether the one plug-in is not the other: their options have nothing in common."""
    return "use" in above and above["use"] != below.get("use")


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_mapping(item) and "name" in item for item in value)


def put(data: dict[str, Any], lines: Lines, setting: str) -> None:
    """Set ``key.path=value``, the value typed as YAML; lists by number or by ``name``. Raises ``SpecError``."""
    key, sign, text = setting.partition("=")
    if not sign or not key:
        raise SpecError(f"--set {setting}: write key=value, as endpoint.rollout.every=5m.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"--set {key}: {text!r} is not a YAML value.") from None
    *parents, last = key.split(".")
    here: Any = data
    path: list[str | int] = []
    for part in parents:
        here = _step(here, part, key, path)
    if isinstance(here, list):
        index = _index(here, last, key)
        here[index] = value
        path.append(index)
    elif isinstance(here, dict):
        here[last] = value
        path.append(last)
    else:
        raise SpecError(f"--set {key}: {parents[-1]!r} holds a single value; there is nothing to set inside it.")
    lines.take(Lines(""), (), tuple(path))
    lines.at[tuple(path)] = "--set"


def _step(here: Any, part: str, key: str, path: list[str | int]) -> Any:
    if isinstance(here, list):
        index = _index(here, part, key)
        path.append(index)
        return here[index]
    if not isinstance(here, dict):
        raise SpecError(f"--set {key}: there is nothing to set inside {path[-1]!r}.")
    path.append(part)
    return here.setdefault(part, {})


def _index(items: list[Any], part: str, key: str) -> int:
    """A list's item by its number, or by its ``name``."""
    for index, item in enumerate(items):
        if part == str(index) or (isinstance(item, dict) and item.get("name") == part):
            return index
    known = [str(item["name"]) for item in items if isinstance(item, dict) and "name" in item]
    raise SpecError(f"--set {key}: there is no {part!r} in that list.{nearest(part, known)}")
