"""One entry under ``variants`` with a ``matrix`` becomes many variants, each named by what makes it different.

``matrix: {data: [...], features: [...], family: [...], columns: [...], with: {option: [...]}}`` crosses all its lists.
``exclude`` leaves out the combinations that have all of an item's values, ``include`` adds single ones. A name depends
on the variant's own values alone, so that other values come and go and nothing is built again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from rivals.spec.lines import Lines, Path_, nearest

KEYS = ("data", "features", "family", "columns")  # what a matrix may vary, besides options
KNOWN = (*KEYS, "with", "include", "exclude")
MOST = 1_000  # variants of one matrix: more is a slip
LONGEST = 64  # characters of a name

Value = tuple[tuple[str, ...], Any, Path_]  # key of the variant, what it is, and where that stands


def expand(data: dict[str, Any], lines: Lines) -> None:
    """Put the variants of each matrix in its place, in ``data`` itself. Raises ``SpecError``."""
    entries = data.get("variants")
    if not isinstance(entries, list) or not any(_has_matrix(entry) for entry in entries):
        return
    before, found = Lines(lines.file), list[Any]()
    before.at = dict(lines.at)
    names: dict[str, list[str]] = {}
    for index, entry in enumerate(entries):
        here: Path_ = ("variants", index)
        made = list(_variants(entry, before, here)) if _has_matrix(entry) else [(entry, [])]
        if _has_matrix(entry):
            names[str(entry.get("name"))] = [variant["name"] for variant, _ in made]
        for variant, values in made:
            into: Path_ = ("variants", len(found))
            lines.take(before, here, into)
            for key, _, place in values:
                lines.take(before, place, (*into, *key))
            found.append(variant)
    for variant in found:  # an ensemble that names a matrix asks all of its variants
        if isinstance(variant, Mapping) and isinstance(members := variant.get("members"), list):
            variant["members"] = [one for name in members for one in names.get(str(name), [name])]
    data["variants"] = found


def _has_matrix(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "matrix" in entry


def _variants(entry: dict[str, Any], lines: Lines, here: Path_) -> Iterator[tuple[dict[str, Any], list[Value]]]:
    matrix, where = entry["matrix"], (*here, "matrix")
    if not isinstance(matrix, Mapping) or not matrix:
        raise lines.error(
            where, f"a matrix has lists under {', '.join(KEYS)} or with, as {{features: [plain, scaled]}}."
        )
    if not isinstance(entry.get("name"), str):
        raise lines.error(here, "the key 'name' is missing: it begins the names of the matrix's variants.")
    axes = [
        [(key, value, (*place, i)) for i, value in enumerate(values)]
        for key, values, place in _axes(matrix, lines, where)
    ]
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST:
        raise lines.error(
            where, f"{count} variants are more than the {MOST} that one matrix may make; take some values away."
        )
    drops = list(_items(matrix, "exclude", lines, where))
    unused = set(range(len(drops)))
    combinations: list[list[Value]] = []
    for crossed in itertools.product(*axes) if axes else ():
        values = list(crossed)
        held = {(key, _text(value)) for key, value, _ in values}
        hit = [i for i, drop in enumerate(drops) if {(key, _text(value)) for key, value, _ in drop} <= held]
        unused -= set(hit)
        if not hit:
            combinations.append(values)
    for i in sorted(unused):
        raise lines.error((*where, "exclude", i), "none of the combinations has these values; mend or remove it.")
    combinations += _items(matrix, "include", lines, where)
    if not combinations:
        raise lines.error(where, "nothing is left: every combination is excluded.")
    for values in combinations:
        yield _made(entry, values), values


def _axes(matrix: Mapping[str, Any], lines: Lines, where: Path_) -> Iterator[tuple[tuple[str, ...], list[Any], Path_]]:
    for key, values in matrix.items():
        if key in {"include", "exclude"}:
            continue
        nested = values if key == "with" else {key: values}
        if key not in (*KEYS, "with"):
            raise lines.error(
                (*where, key),
                f"unknown key; a model's options stand under with.{nearest(key, KNOWN)}",
            )
        if not isinstance(nested, Mapping):
            raise lines.error((*where, key), "under with stand options and their lists, as {C: [0.1, 1]}.")
        for name, listed in nested.items():
            path = ("with", name) if key == "with" else (key,)
            if not isinstance(listed, list) or not listed:
                raise lines.error(
                    (*where, *path), f"a matrix crosses lists; write [{json.dumps(listed, default=str)}]."
                )
            yield path, listed, (*where, *path)


def _items(matrix: Mapping[str, Any], which: str, lines: Lines, where: Path_) -> Iterator[list[Value]]:
    """The values of each item of ``include`` or ``exclude``."""
    items = matrix.get(which, [])
    if not isinstance(items, list):
        raise lines.error((*where, which), "write a list of items, as [{features: plain, with: {C: 1}}].")
    for index, item in enumerate(items):
        place = (*where, which, index)
        if not isinstance(item, Mapping) or not item:
            raise lines.error(place, "an item has values by key, as {features: plain, with: {C: 1}}.")
        found: list[Value] = []
        for key, value in item.items():
            if key not in (*KEYS, "with"):
                raise lines.error((*place, key), f"unknown key.{nearest(key, [*KEYS, 'with'])}")
            if key == "with" and not isinstance(value, Mapping):
                raise lines.error((*place, key), "under with stand options, as {C: 1}.")
            inner = value.items() if key == "with" else ()
            found += [(("with", name), one, (*place, "with", name)) for name, one in inner]
            found += [] if key == "with" else [((key,), value, (*place, key))]
        yield found


def _made(entry: dict[str, Any], values: list[Value]) -> dict[str, Any]:
    variant = {key: value for key, value in entry.items() if key != "matrix"}
    variant["name"] = _name(entry["name"], values)
    for key, value, _ in values:
        if len(key) == 1:
            variant[key[0]] = value
        else:
            variant["with"] = {**(variant.get("with") or {}), key[1]: value}
    return variant


def _name(base: str, values: list[Value]) -> str:
    """The entry's name, then each value: features and the like by themselves, options after their name."""
    words, exact = [base], True
    for key, value, _ in values:
        text = (
            value if isinstance(value, str) else "_".join(map(str, value)) if isinstance(value, list) else _text(value)
        )
        plain = re.sub(r"[^A-Za-z0-9_.-]+", "_", text)
        exact &= plain == text and not isinstance(value, (list, dict))
        exact = exact and (len(key) == 1 or not isinstance(value, str) or yaml.safe_load(text) == value)  # "5" is not 5
        words.append(f"{key[1]}.{plain}" if len(key) > 1 else plain)
    name = "-".join(words)
    if exact and len(name) <= LONGEST:
        return name
    mark = hashlib.sha256(_text([(key, value) for key, value, _ in values]).encode()).hexdigest()[:6]
    return f"{name[: LONGEST - 7].rstrip('-._')}-{mark}"


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
