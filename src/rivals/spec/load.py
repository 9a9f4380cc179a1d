"""``load(path)``: the project file as a ``ProjectSpec``, or one error that says file, line, key and way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from rivals.errors import SpecError
from rivals.spec.lines import Lines, Path_, nearest, read
from rivals.spec.matrix import expand
from rivals.spec.overlay import merge, put
from rivals.spec.project import COMING, MAIN, ProjectSpec

MAX_BYTES = 1 << 20


def load(path: Path | Sequence[Path], overlay: Sequence[str] = ()) -> ProjectSpec:
    """Read and check a project file, or several: each lies on top of those before it, and ``overlay`` on top of all.

    ``overlay`` holds ``key.path=value``. Raises ``SpecError`` with file, line, key, and the nearest name where one was
    misspelt.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    files = [one / "rivals.yaml" if one.is_dir() else one for one in paths]
    names = [file.name for file in files]
    # Two overlays of one name in different folders are told apart by their paths.
    told = names if len(set(names)) == len(names) else [str(file) for file in files]
    return _checked([(_bytes(file), name) for file, name in zip(files, told, strict=True)], overlay)


def parse(raw: bytes, file: str = "rivals.yaml", overlay: Sequence[str] = ()) -> ProjectSpec:
    """As ``load``, from bytes."""
    return _checked([(raw, file)], overlay)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no project file here; `rivals init` makes one, -f names another.") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from None


def _checked(files: Sequence[tuple[bytes, str]], overlay: Sequence[str]) -> ProjectSpec:
    data, lines = _read(*files[0])
    for raw, name in files[1:]:
        data = merge(data, lines, *_read(raw, name))
    for setting in overlay:
        put(data, lines, setting)
    expand(data, lines)
    try:
        spec = ProjectSpec.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, lines) from None
    _cross_check(spec, lines)
    return spec


def _read(raw: bytes, file: str) -> tuple[dict[str, Any], Lines]:
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{file}: {len(raw)} bytes are no project file; the limit is {MAX_BYTES}.")
    lines = Lines(file)
    return read(raw, lines), lines


def _explain(error: ValidationError, data: Any, lines: Lines) -> SpecError:
    """The first error as a sentence; pydantic's own words are kept where they are plain."""
    # A misspelt key is also a missing one: say the cause, not the consequence.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    path = _path(first["loc"], data)
    match first["type"]:
        case "extra_forbidden":
            key = str(path[-1])
            if key in COMING:
                return lines.error(path, f"{COMING[key]} is not part of this version yet; remove the key for now.")
            return lines.error(path, f"unknown key.{nearest(key, _fields(first['loc'][:-1]))}")
        case "missing":
            return lines.error(path[:-1], f"the key {path[-1]!r} is missing.")
        case "value_error":
            return lines.error(path, first["msg"].removeprefix("Value error, ") + ".")
        case "literal_error":
            allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
            wrong = str(first["input"])
            return lines.error(path, f"{wrong!r} is none of {', '.join(allowed)}.{nearest(wrong, allowed)}")
        case "string_pattern_mismatch":
            return lines.error(path, f"{first['input']!r} is no name; use up to 64 letters, digits, '.', '_' and '-'.")
        case _:
            message = first["msg"][0].lower() + first["msg"][1:]
            return lines.error(path, f"{message}, not {first['input']!r}.")


def _path(loc: tuple[str | int, ...], data: Any) -> Path_:
    """Pydantic's location without the parts it makes up (tags of unions and the like)."""
    path: list[str | int] = []
    here = data
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        inside = (isinstance(here, dict) and part in here) or (
            isinstance(here, list) and isinstance(part, int) and part < len(here)
        )
        if inside:
            path.append(part)
            here = here[part]
        elif last:
            path.append(part)
    return tuple(path)


def _fields(loc: tuple[str | int, ...]) -> list[str]:
    """The keys that may stand at a location of the project file."""
    model: Any = ProjectSpec
    for part in loc:
        if isinstance(part, int) or not _is_part(model):
            continue
        field = next((f for n, f in model.model_fields.items() if part in (n, f.alias)), None)
        model = _inner(field.annotation) if field else model
    return [field.alias or name for name, field in model.model_fields.items()] if _is_part(model) else []


def _inner(annotation: Any) -> Any:
    """The part inside ``X | None`` or ``tuple[X, ...]``."""
    if _is_part(annotation):
        return annotation
    inside = [found for arg in getattr(annotation, "__args__", ()) if _is_part(found := _inner(arg))]
    return inside[0] if inside else None


def _is_part(model: Any) -> bool:
    return isinstance(model, type) and issubclass(model, BaseModel)


def _cross_check(spec: ProjectSpec, lines: Lines) -> None:
    """What no single key can know: names that point at other parts of the file."""
    seen: dict[str, int] = {}
    for index, variant in enumerate(spec.variants):
        here: Path_ = ("variants", index)
        if variant.name in seen:
            raise lines.error((*here, "name"), f"{variant.name!r} is the name of variant {seen[variant.name]} already.")
        seen[variant.name] = index
    known = list(seen)
    for index, variant in enumerate(spec.variants):
        here = ("variants", index)
        if variant.data not in (MAIN, *spec.data.sets):
            raise lines.error((*here, "data"), _unknown("data set", variant.data, {MAIN: None, **spec.data.sets}))
        if variant.features is not None and variant.features not in spec.features:
            raise lines.error((*here, "features"), _unknown("feature set", variant.features, spec.features))
        for position, member in enumerate(variant.members):
            if member not in seen:
                raise lines.error((*here, "members", position), _unknown("variant", member, seen))
    _no_circle(spec, lines, known)
    for index, variant in enumerate(spec.variants):
        for position, member in enumerate(variant.members):
            if (theirs := spec.set_of(member)) != (first := spec.set_of(variant.name)):
                told = f"{member!r} is made from the data set {theirs!r} and {variant.members[0]!r} from {first!r}"
                raise lines.error(("variants", index, "members", position), f"{told}; an ensemble's members share one.")
    if spec.endpoint:
        for path, name in _endpoint_names(spec):
            if name not in seen:
                raise lines.error(path, _unknown("variant", name, seen))


def _endpoint_names(spec: ProjectSpec) -> list[tuple[Path_, str]]:
    endpoint = spec.endpoint
    assert endpoint is not None
    found: list[tuple[Path_, str]] = [(("endpoint", "shadows", i), s.variant) for i, s in enumerate(endpoint.shadows)]
    found += [(("endpoint", "fallback", i), name) for i, name in enumerate(endpoint.fallback)]
    found += [(("endpoint", "asked", name), name) for name in endpoint.asked]
    return [*found, (("endpoint", "champion"), endpoint.champion)] if endpoint.champion else found


def _no_circle(spec: ProjectSpec, lines: Lines, order: list[str]) -> None:
    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = " -> ".join((*way[way.index(name) :], name))
            raise lines.error(("variants", order.index(name), "members"), f"members go in a circle: {circle}.")
        for member in spec.variant(name).members:
            walk(member, (*way, name))

    for name in order:
        walk(name, ())


def _unknown(what: str, wrong: str, known: Mapping[str, Any]) -> str:
    return f"there is no {what} {wrong!r}.{nearest(wrong, list(known))}"
