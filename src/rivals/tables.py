"""Values as tables: text for a terminal, HTML for a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns; the first one leans left, the others right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(head), *(line(row) for row in rows)])


def html(head: Sequence[str], rows: Sequence[Sequence[str]], below: Sequence[str] = ()) -> str:
    """The same as HTML, with sentences below it; everything is escaped."""
    heads = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    told = "".join(f"<p>{escape(line)}</p>" for line in below)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>{told}"


class Facts(dict[str, Any]):
    """A mapping that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return html(["", ""], [[key, _short(value)] for key, value in self.items()])


class Entries(list[Any]):
    """Mappings that a notebook shows as the rows of a table."""

    def _repr_html_(self) -> str:
        keys = list(dict.fromkeys(key for one in self if isinstance(one, Mapping) for key in one))
        if not keys:
            return html([""], [[_short(one)] for one in self])
        return html(keys, [[_short(one.get(key, "")) for key in keys] for one in self])


def _short(value: Any, most: int = 200) -> str:
    told = str(value)
    return told if len(told) <= most else f"{told[: most - 3]}..."
