"""A project file as plain values, and where each key stands: later errors can still point at it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import yaml

from rivals.errors import SpecError

Path_ = tuple[str | int, ...]
BOOL = "tag:yaml.org,2002:bool"


class Lines:
    """Which file and line each key comes from."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.at: dict[Path_, str] = {}

    def error(self, path: Path_, message: str) -> SpecError:
        """The error about ``path``, pointing at the nearest line known."""
        known = path
        while known and known not in self.at:
            known = known[:-1]
        key = ".".join(str(part) for part in path)
        return SpecError(f"{self.at.get(known, self.file)}: {key + ': ' if key else ''}{message}")

    def take(self, other: Lines, path: Path_, into: Path_) -> None:
        """Note that what stands ``into`` here comes from ``path`` there, with all that is inside."""
        found = {(*into, *at[len(path) :]): line for at, line in other.at.items() if at[: len(path)] == path}
        self.at = {at: line for at, line in self.at.items() if at[: len(into)] != into} | found


def read(raw: bytes, lines: Lines) -> dict[str, Any]:
    """Bytes as plain values, each key's line noted. Raises ``SpecError``."""
    try:
        data = _build(yaml.compose(raw, Loader=yaml.SafeLoader), (), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SpecError(f"{lines.file}:{line}: not YAML: {error.problem}.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        raise SpecError(f"{lines.file}: not YAML: it holds bytes or nesting that no project file has.") from None
    if not isinstance(data, dict):
        raise SpecError(f"{lines.file}: a project file is a mapping that starts with 'project: <name>'.")
    return data


def nearest(wrong: str, known: Sequence[str]) -> str:
    """The nearest name, or all there are."""
    close = difflib.get_close_matches(wrong, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else (f" Known: {', '.join(known)}." if known else "")


def _build(node: yaml.Node | None, path: Path_, lines: Lines) -> Any:
    """A node as plain values, noting the line of every key; YAML's own constructor keeps neither lines nor doubles."""
    if node is None:
        return None
    lines.at.setdefault(path, f"{lines.file}:{node.start_mark.line + 1}")
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            # YAML 1.1 takes the words on, off, yes and no for truth values; as a key nobody means that.
            key = key_node.value if key_node.tag == BOOL else _scalar(key_node)
            if not isinstance(key, str):
                raise lines.error(path, f"the key {key!r} is not a word; put it in quotes.")
            lines.at[(*path, key)] = f"{lines.file}:{key_node.start_mark.line + 1}"
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
