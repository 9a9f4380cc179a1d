"""What is to be built, in which order, and what is built already."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from rivals.build.families.ready import files
from rivals.build.named import names_in
from rivals.build.reach import PACKAGE, reached
from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.spec.project import ProjectSpec, VariantSpec
from rivals.values import Use

# What fits models or turns them into bundles: another release may build another model of the same wish.
PACKAGES = ("rivals", "numpy", "pandas", "scikit-learn", "lightgbm", "onnx", "skl2onnx", "onnxmltools")
BOOSTERS = {
    "xgboost": ("xgboost-cpu",),
    "catboost": ("catboost",),
    "torch": ("torch", "skorch"),
}  # of a family alone

KINDS = {"code": "code", "columns": "column", "packages": "package", "members": "member"}  # as they are told


@dataclass(frozen=True, slots=True)
class Plan:
    """Variants in waves: all of one wave side by side, members before the ensembles that ask them.

    ``kept`` are built already; ``wishes`` names what is asked for, for every variant that is to be there, and
    ``asked`` says it in full.
    """

    waves: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    wishes: Mapping[str, str]
    asked: Mapping[str, Mapping[str, Any]]


def plan(
    spec: ProjectSpec,
    data: Mapping[str, str],
    known: Collection[str],
    only: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
    sets: Mapping[str, Mapping[str, str]] | None = None,
) -> Plan:
    """Plan the variants ``only`` and their members; all, where nothing is said.

    ``known`` are the wish digests that are built; ``models`` says where a variant's model lies if not where the project
    file says (a registry's URI, fetched); ``data`` has the digest of each column, ``sets`` those of further data sets.
    Raises ``SpecError`` on an unknown name and on members that go in a circle.
    """
    order = _order(spec)
    wanted = _wanted(spec, only)
    wishes: dict[str, str] = {}
    asked: dict[str, dict[str, Any]] = {}
    for name in order:
        mine = (sets or {}).get(spec.set_of(name))
        asked[name] = _asked(spec, spec.variant(name), data if mine is None else mine, wishes, (models or {}).get(name))
        if mine is not None:  # it is divided as the main rows are
            asked[name]["judged"] = {role: data[role] for role in spec.data.roles if role in data}
        wishes[name] = hashlib.sha256(msgspec.json.encode(asked[name], order="sorted")).hexdigest()
    missing = [name for name in order if name in wanted and wishes[name] not in known]
    depth: dict[str, int] = {}
    for name in missing:
        depth[name] = 1 + max((depth.get(member, -1) for member in spec.variant(name).members), default=-1)
    count = max(depth.values(), default=-1) + 1
    waves = tuple(tuple(name for name in _names(spec) if depth.get(name) == level) for level in range(count))
    kept = tuple(name for name in _names(spec) if name in wanted and name not in depth)
    there = [name for name in _names(spec) if name in wanted]
    return Plan(waves, kept, {name: wishes[name] for name in there}, {name: asked[name] for name in there})


def search_key(asked: Mapping[str, Any]) -> str:
    """What trials of a variant depend on: all it comes from, but who searches, in which space, for how long."""
    variant = {name: value for name, value in asked["variant"].items() if name != "tune"}
    fixed = {name: value for name, value in asked.items() if name != "tuning"} | {"variant": variant}
    return hashlib.sha256(msgspec.json.encode(fixed, order="sorted")).hexdigest()


def causes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two builds' ``asked``, in words: a piece of code, a column, a package, an option."""
    old, new = _flat(msgspec.to_builtins(before)), _flat(msgspec.to_builtins(after))
    said = []
    for key in sorted(old.keys() | new.keys()):
        if key not in old:
            said.append(f"{key} is new")
        elif key not in new:
            said.append(f"{key} is gone")
        elif old[key] != new[key]:
            opaque = key.startswith(("code ", "column ", "member ")) or key == "model"
            said.append(f"{key} changed" if opaque else f"{key} was {old[key]}, is {new[key]}")
    return said


def _flat(value: Mapping[str, Any], path: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, one in value.items():
        name = f"{path}{key}"
        if isinstance(one, Mapping):
            found |= _flat(one, f"{KINDS[key]} " if not path and key in KINDS else f"{name}.")
        else:
            found[name] = msgspec.json.encode(one).decode()
    return found


def _asked(
    spec: ProjectSpec, variant: VariantSpec, data: Mapping[str, str], members: Mapping[str, str], model: str | None
) -> dict[str, Any]:
    """All that the variant's bundle comes from: wish, columns, code, packages and members' wishes."""
    steps = spec.features[variant.features] if variant.features else ()
    names = [variant.with_, [dict(use.options) for use in steps], list(spec.measures), variant.model or ""]
    code = reached(sorted(set(names_in(names))))
    return {
        "variant": variant.model_dump(mode="json", by_alias=True),
        "steps": [_plain(use) for use in steps],
        "data": spec.data.model_dump(mode="json", exclude={"source", "sets"}),
        "columns": {name: data[name] for name in _columns(spec, variant, data)},
        "metrics": spec.measures,
        "seed": spec.seed,
        "code": {name: code[name] for name in code if not name.startswith(PACKAGE)},
        "model": _contents(model or variant.model) if variant.model else "",
        "members": {name: members[name] for name in variant.members},
        "tuning": spec.tuning.model_dump(mode="json") if variant.tune else {},
        "packages": {name: _version(name) for name in (*PACKAGES, *BOOSTERS.get(variant.family or "", ()))}
        | {name.removeprefix(PACKAGE): code[name] for name in code if name.startswith(PACKAGE)},
    }


def _columns(spec: ProjectSpec, variant: VariantSpec, data: Mapping[str, str]) -> list[str]:
    """The columns that a variant is made from: those with a role, and its inputs; an ensemble's members have theirs."""
    roles = [name for name in spec.data.roles if name not in spec.data.ignore]
    inputs = [name for name in data if name not in spec.data.roles]
    if variant.columns is not None:
        inputs = [name for name in inputs if name in variant.columns]
    return [name for name in (*roles, *([] if variant.members else inputs)) if name in data]


def _order(spec: ProjectSpec) -> list[str]:
    """Members before ensembles. Raises ``SpecError`` on a circle."""
    graph = {variant.name: variant.members for variant in spec.variants}
    for name, members in graph.items():
        for member in members:
            if member not in graph:
                raise SpecError(f"{name!r} has a member {member!r} that is no variant.{nearest(member, list(graph))}")
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise SpecError(
            f"Members go in a circle: {' -> '.join(error.args[1])}. An ensemble cannot ask itself."
        ) from None


def _wanted(spec: ProjectSpec, only: Sequence[str]) -> set[str]:
    names = _names(spec)
    for name in only:
        if name not in names:
            raise SpecError(f"There is no variant {name!r}.{nearest(name, names)}")
    wanted, open_ = set[str](), list(only or names)
    while open_:
        name = open_.pop()
        if name not in wanted:
            wanted.add(name)
            open_.extend(spec.variant(name).members)
    return wanted


def _names(spec: ProjectSpec) -> list[str]:
    return [variant.name for variant in spec.variants]


def _plain(use: Use) -> dict[str, Any]:
    return {"use": use.name, "with": dict(use.options)}


def _contents(model: str) -> str:
    """A model by what is in it; the name itself where it is code."""
    found = files(model)
    whole = hashlib.sha256(b"" if found else model.encode())
    for file in found:
        whole.update(f"{file.relative_to(Path(model).parent)}\0".encode())
        whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
