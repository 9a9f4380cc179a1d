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
from rivals.build.named import texts
from rivals.errors import SpecError
from rivals.plugins import nearest
from rivals.spec.project import ProjectSpec, VariantSpec
from rivals.values import Use

# What fits models or turns them into bundles: another release may build another model of the same wish.
PACKAGES = ("rivals", "numpy", "pandas", "scikit-learn", "lightgbm", "onnx", "skl2onnx", "onnxmltools")


@dataclass(frozen=True, slots=True)
class Plan:
    """Variants in waves: all of one wave side by side, members before the ensembles that ask them.

    ``kept`` are built already; ``wishes`` names what is asked for, for every variant that is to be there.
    """

    waves: tuple[tuple[str, ...], ...]
    kept: tuple[str, ...]
    wishes: Mapping[str, str]


def plan(
    spec: ProjectSpec,
    data_digest: str,
    known: Collection[str],
    only: Sequence[str] = (),
    models: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the variants ``only`` and their members; all, where nothing is said.

    ``known`` are the wish digests that are built; ``models`` says where a variant's model lies if not where the project
    file says (a registry's URI, fetched). Raises ``SpecError`` on an unknown name and on members that go in a circle.
    """
    order = _order(spec)
    wanted = _wanted(spec, only)
    wishes: dict[str, str] = {}
    for name in order:
        wishes[name] = wish(spec, spec.variant(name), data_digest, wishes, (models or {}).get(name))
    missing = [name for name in order if name in wanted and wishes[name] not in known]
    depth: dict[str, int] = {}
    for name in missing:
        depth[name] = 1 + max((depth.get(member, -1) for member in spec.variant(name).members), default=-1)
    count = max(depth.values(), default=-1) + 1
    waves = tuple(tuple(name for name in _names(spec) if depth.get(name) == level) for level in range(count))
    kept = tuple(name for name in _names(spec) if name in wanted and name not in depth)
    return Plan(waves, kept, {name: wishes[name] for name in _names(spec) if name in wanted})


def wish(
    spec: ProjectSpec, variant: VariantSpec, data_digest: str, members: Mapping[str, str], model: str | None = None
) -> str:
    """Name all that the variant's bundle comes from: wish, rows, code, packages and members' wishes. SHA-256."""
    steps = spec.features[variant.features] if variant.features else ()
    data = spec.data.model_dump(mode="python", exclude={"source"})
    asked: dict[str, Any] = {
        "variant": variant.model_dump(mode="python", by_alias=True),
        "steps": [_plain(use) for use in steps],
        "data": {"digest": data_digest, **data},
        "metrics": spec.measures,
        "seed": spec.seed,
        "code": texts([variant.with_, [dict(use.options) for use in steps], list(spec.measures), variant.model or ""]),
        "model": _contents(model or variant.model) if variant.model else "",
        "members": {name: members[name] for name in variant.members},
        "packages": {name: _version(name) for name in PACKAGES},
    }
    return hashlib.sha256(msgspec.json.encode(asked, order="sorted")).hexdigest()


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
