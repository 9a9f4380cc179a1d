"""``load(path)``: the project file as a ``ProjectSpec``, or one error that says file, line, key and way out."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from rivals.errors import SpecError
from rivals.spec.project import COMING, ProjectSpec

Path_ = tuple[str | int, ...]
MAX_BYTES = 1 << 20


class _Lines:
    """Where each key stands, so that errors found late can still point at it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.at: dict[Path_, int] = {}

    def error(self, path: Path_, message: str) -> SpecError:
        """The error about ``path``, pointing at the nearest line known."""
        known = path
        while known and known not in self.at:
            known = known[:-1]
        where = f"{self.file}:{self.at[known]}" if known in self.at else self.file
        key = ".".join(str(part) for part in path)
        return SpecError(f"{where}: {key + ': ' if key else ''}{message}")


def load(path: Path, overlay: Sequence[str] = ()) -> ProjectSpec:
    """Read and check a project file; ``overlay`` holds ``key.path=value`` settings on top of it.

    Raises ``SpecError`` with file, line, key, and the nearest name where one was misspelt.
    """
    if path.is_dir():
        path = path / "rivals.yaml"
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{path}: there is no project file here; `rivals init` makes one, -f names another.") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}.") from None
    return parse(raw, path.name, overlay)


def parse(raw: bytes, file: str = "rivals.yaml", overlay: Sequence[str] = ()) -> ProjectSpec:
    """As ``load``, from bytes."""
    if len(raw) > MAX_BYTES:
        raise SpecError(f"{file}: {len(raw)} bytes are no project file; the limit is {MAX_BYTES}.")
    lines = _Lines(file)
    data = _read(raw, lines)
    for setting in overlay:
        _set(data, setting)
    try:
        spec = ProjectSpec.model_validate(data)
    except ValidationError as error:
        raise _explain(error, data, lines) from None
    _cross_check(spec, lines)
    return spec


def _read(raw: bytes, lines: _Lines) -> dict[str, Any]:
    try:
        node = yaml.compose(raw, Loader=yaml.SafeLoader)
        data = _build(node, (), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{lines.file}:{line}: not YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise SpecError(f"{lines.file}: not YAML: it holds bytes or nesting that no project file has.") from None
    if not isinstance(data, dict):
        raise SpecError(f"{lines.file}: a project file is a mapping that starts with 'project: <name>'.")
    return data


def _build(node: yaml.Node | None, path: Path_, lines: _Lines) -> Any:
    """A node as plain values, noting the line of every key; YAML's own constructor keeps neither lines nor doubles."""
    if node is None:
        return None
    lines.at.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = _scalar(key_node)
            if not isinstance(key, str):
                raise lines.error(path, f"the key {key!r} is not a word; put it in quotes.")
            lines.at[(*path, key)] = key_node.start_mark.line + 1
            if key in result:
                raise lines.error((*path, key), "stands here twice; remove one.")
            result[key] = _build(value_node, (*path, key), lines)
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), lines) for index, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        return loader.construct_object(node, deep=True)
    finally:
        loader.dispose()


def _set(data: dict[str, Any], setting: str) -> None:
    key, sign, text = setting.partition("=")
    if not sign or not key:
        raise SpecError(f"--set {setting}: write key=value, as endpoint.rollout.every=5m.")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise SpecError(f"--set {key}: {text!r} is not a YAML value.") from None
    *parents, last = key.split(".")
    here: Any = data
    for part in parents:
        here = _step(here, part, key)
    if isinstance(here, list):
        index = _index(here, last, key)
        here[index] = value
    elif isinstance(here, dict):
        here[last] = value
    else:
        raise SpecError(f"--set {key}: {parents[-1]!r} holds a single value; there is nothing to set inside it.")


def _step(here: Any, part: str, key: str) -> Any:
    if isinstance(here, list):
        return here[_index(here, part, key)]
    if not isinstance(here, dict):
        raise SpecError(f"--set {key}: there is nothing to set inside {part!r}.")
    return here.setdefault(part, {})


def _index(items: list[Any], part: str, key: str) -> int:
    """A list's item by its number, or by its ``name``."""
    for index, item in enumerate(items):
        if part == str(index) or (isinstance(item, dict) and item.get("name") == part):
            return index
    raise SpecError(f"--set {key}: there is no {part!r} in that list.")


def _explain(error: ValidationError, data: Any, lines: _Lines) -> SpecError:
    """The first error as a sentence; pydantic's own words are kept where they are plain."""
    # A misspelt key is also a missing one: say the cause, not the consequence.
    first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
    path = _path(first["loc"], data)
    match first["type"]:
        case "extra_forbidden":
            key = str(path[-1])
            if key in COMING:
                return lines.error(path, f"{COMING[key]} is not part of this version yet; remove the key for now.")
            return lines.error(path, f"unknown key.{_nearest(key, _fields(first['loc'][:-1]))}")
        case "missing":
            return lines.error(path[:-1], f"the key {path[-1]!r} is missing.")
        case "value_error":
            return lines.error(path, first["msg"].removeprefix("Value error, ") + ".")
        case "literal_error":
            allowed = [word.strip("' ") for word in first["ctx"]["expected"].replace(" or ", ", ").split(",")]
            wrong = str(first["input"])
            return lines.error(path, f"{wrong!r} is none of {', '.join(allowed)}.{_nearest(wrong, allowed)}")
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


def _nearest(wrong: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else (f" Known: {', '.join(known)}." if known else "")


def _cross_check(spec: ProjectSpec, lines: _Lines) -> None:
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
        if variant.features is not None and variant.features not in spec.features:
            raise lines.error((*here, "features"), _unknown("feature set", variant.features, spec.features))
        for position, member in enumerate(variant.members):
            if member not in seen:
                raise lines.error((*here, "members", position), _unknown("variant", member, seen))
    _no_circle(spec, lines, known)
    if spec.endpoint:
        for path, name in _endpoint_names(spec):
            if name not in seen:
                raise lines.error(path, _unknown("variant", name, seen))


def _endpoint_names(spec: ProjectSpec) -> list[tuple[Path_, str]]:
    endpoint = spec.endpoint
    assert endpoint is not None
    found: list[tuple[Path_, str]] = [(("endpoint", "shadows", i), name) for i, name in enumerate(endpoint.shadows)]
    return [*found, (("endpoint", "champion"), endpoint.champion)] if endpoint.champion else found


def _no_circle(spec: ProjectSpec, lines: _Lines, order: list[str]) -> None:
    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = " -> ".join((*way[way.index(name) :], name))
            raise lines.error(("variants", order.index(name), "members"), f"members go in a circle: {circle}.")
        for member in spec.variant(name).members:
            walk(member, (*way, name))

    for name in order:
        walk(name, ())


def _unknown(what: str, wrong: str, known: Mapping[str, Any]) -> str:
    return f"there is no {what} {wrong!r}.{_nearest(wrong, list(known))}"
