"""Reading foreign descriptions: documents by kind, quantities, and what is missing told in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from rivals.errors import SpecError

Document = Mapping[str, Any]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SIZES = {
    "": 1.0,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def documents_of(text: str, name: str) -> list[Document]:
    """The documents of a YAML or JSON file; a List is what it lists. Raises ``SpecError``."""
    try:
        loaded = [one for one in yaml.load_all(text, Loader=LOADER) if one is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}:{mark.line + 1}" if mark else name
        raise SpecError(f"{where}: this is no YAML: {getattr(error, 'problem', error)}.") from error
    if strange := [one for one in loaded if not isinstance(one, Mapping)]:
        raise SpecError(f"{name}: a description is a mapping with apiVersion and kind, not {strange[0]!r}.")
    listed = [item for one in loaded for item in (one.get("items", ()) if one.get("kind") == "List" else (one,))]
    if not listed:
        raise SpecError(f"{name}: there is nothing in it.")
    return listed


def found(documents: Sequence[Document], kind: str) -> list[Document]:
    """Those of one kind."""
    return [one for one in documents if one.get("kind") == kind]


def one(documents: Sequence[Document], kind: str, what: str) -> Document:
    """The only one of its kind. Raises ``SpecError``."""
    several = found(documents, kind)
    if len(several) != 1:
        raise SpecError(f"There are {len(several)} documents of kind {kind} here; {what} is one.")
    return several[0]


def need(document: Any, *path: str | int) -> Any:
    """What stands at a path of keys. Raises ``SpecError`` that names the first one missing."""
    here, way = document, ""
    for key in path:
        way += f"[{key}]" if isinstance(key, int) else f".{key}" if way else key
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            raise SpecError(f"{title(document)}: {way} is missing.") from None
    return here


def get(document: Any, *path: str | int, default: Any = None) -> Any:
    """The same, or ``default``."""
    here = document
    for key in path:
        try:
            here = here[key]
        except (KeyError, IndexError, TypeError):
            return default
    return default if here is None else here


def title(document: Any) -> str:
    """Kind and name, for sentences."""
    kind = document.get("kind", "the document") if isinstance(document, Mapping) else "the document"
    return " ".join(filter(None, (str(kind), str(get(document, "metadata", "name", default="")))))


def quantity(value: object) -> float:
    """``250m`` -> 0.25, ``1Gi`` -> 1073741824.0; numbers stay. Raises ``SpecError``."""
    found_ = re.fullmatch(r"([0-9.]+)(m|[kMGT]|[KMGT]i)?", str(value))
    if not found_:
        raise SpecError(f"{value!r} is not a quantity; write it as 250m, 2 or 512Mi.")
    return float(found_[1]) * SIZES[found_[2] or ""]


def shares(weights: Mapping[str, Any], what: str) -> dict[str, float]:
    """Weights as shares of one. Raises ``SpecError`` where they are no weights."""
    bad = [name for name, weight in weights.items() if not _weighs(weight)]
    if bad:
        raise SpecError(f"{what}: the weight of {bad[0]!r} is {weights[bad[0]]!r}, not a number from 0 up.")
    total = sum(weights.values())
    if not total:
        raise SpecError(f"{what}: all weights are 0, so nobody would answer.")
    return {name: weight / total for name, weight in weights.items()}


def _weighs(weight: object) -> bool:
    return isinstance(weight, (int, float)) and not isinstance(weight, bool) and weight >= 0


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value inside, with where it stands."""
    yield path, value
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from walk(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from walk(inner, f"{path}[{place}]")
