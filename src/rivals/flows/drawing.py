"""Small plots as inline SVG, and tables as HTML: no scripts, no files beside, everything from outside escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from rivals.statistics.losses import Floats

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#000000")  # Okabe & Ito
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 420, 320, 56, 44, 12
POINTS = 200  # of a line: more than a screen shows

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #ddd}
table{border-collapse:collapse;margin:.8rem 0}th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #eee}
th:first-child,td:first-child{text-align:left}tr.take td{background:#eef6ee;font-weight:600}
.plots{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:.85rem;color:#555}
.worse{color:#b00020}.better{color:#00695c}.note{color:#555;font-size:.9rem}
"""


@dataclass(frozen=True, slots=True)
class Line:
    """A named line or, where ``dots``, a set of points."""

    name: str
    x: Floats
    y: Floats
    dots: bool = False


def page(title: str, parts: Sequence[str]) -> str:
    """One HTML document."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n"


def section(title: str, *parts: str) -> str:
    """A heading with what stands under it."""
    return f"<h2>{escape(title)}</h2>{''.join(parts)}"


def text(told: str, kind: str = "") -> str:
    """A paragraph."""
    return f'<p class="{kind}">{escape(told)}</p>' if kind else f"<p>{escape(told)}</p>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[str] = ()) -> str:
    """Cells are text, or SVG made here; a row whose first cell is ``marked`` stands out."""

    def cell(value: str) -> str:
        kind = f' class="{value}"' if value in {"worse", "better"} else ""
        return f"<td{kind}>{value if value.startswith('<svg') else escape(value)}</td>"

    body = "".join(
        f"<tr{' class=take' if row[0] in marked else ''}>{''.join(cell(value) for value in row)}</tr>" for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{escape(one)}</th>' for one in head)}</tr>{body}</table>"


def whisker(low: float, score: float, high: float, least: float, most: float) -> str:
    """A score and its interval on a scale that all rows share."""
    width, wide = 160, (most - least) or 1.0
    left, middle, right = (4 + (width - 8) * (one - least) / wide for one in (low, score, high))
    return (
        f'<svg width="{width}" height="14" role="img"><line x1="{left:.1f}" x2="{right:.1f}" y1="7" y2="7" '
        f'stroke="#888" stroke-width="2"/><circle cx="{middle:.1f}" cy="7" r="4" fill="{COLORS[0]}"/></svg>'
    )


def plot(
    caption: str, across: str, up: str, lines: Sequence[Line], *, unit: bool = False, diagonal: bool = False
) -> str:
    """Lines and dots over two axes; ``unit``: both from 0 to 1."""
    x_low, x_high = (0.0, 1.0) if unit else _range([line.x for line in lines])
    y_low, y_high = (0.0, 1.0) if unit else _range([line.y for line in lines])

    def place(x: Floats, y: Floats) -> tuple[Floats, Floats]:
        wide, high = WIDTH - LEFT - 10, HEIGHT - BOTTOM - TOP
        return LEFT + wide * (x - x_low) / (x_high - x_low), TOP + high * (1 - (y - y_low) / (y_high - y_low))

    parts = [*_axes(across, up, (x_low, x_high), (y_low, y_high))]
    if diagonal:
        (x1, x2), (y1, y2) = place(np.array([x_low, x_high]), np.array([x_low, x_high]))
        parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#bbb" stroke-dasharray="4"/>'
        )
    for i, line in enumerate(lines):
        kept = np.unique(np.linspace(0, len(line.x) - 1, min(POINTS, len(line.x))).astype(int))
        xs, ys = place(line.x[kept], line.y[kept])
        color = COLORS[i % len(COLORS)]
        if line.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>' for x, y in zip(xs, ys, strict=True)]
        else:
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
            parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2"/>')
    legend = " ".join(
        f'<span style="color:{COLORS[i % len(COLORS)]}">&#9632; {escape(line.name)}</span>'
        for i, line in enumerate(lines)
    )
    drawn = f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(caption)}">{"".join(parts)}</svg>'
    return f"<figure>{drawn}<figcaption>{escape(caption)}<br/>{legend}</figcaption></figure>"


def plots(*figures: str) -> str:
    """Figures side by side."""
    return f'<div class="plots">{"".join(figures)}</div>'


def _axes(across: str, up: str, x: tuple[float, float], y: tuple[float, float]) -> list[str]:
    floor, right = HEIGHT - BOTTOM, WIDTH - 10
    style, name = 'font-size="11" fill="#555"', escape(up)
    parts = [
        f'<path d="M{LEFT} {TOP}V{floor}H{right}" fill="none" stroke="#999"/>',
        f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 8}" text-anchor="middle" {style}>{escape(across)}</text>',
        f'<text transform="translate(12 {(TOP + floor) / 2}) rotate(-90)" text-anchor="middle" {style}>{name}</text>',
    ]
    for k in range(5):
        at = LEFT + (right - LEFT) * k / 4
        parts.append(f'<text x="{at:.0f}" y="{floor + 15}" text-anchor="middle" {style}>{_tick(x, k)}</text>')
        at = floor - (floor - TOP) * k / 4
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.0f}" text-anchor="end" {style}>{_tick(y, k)}</text>')
    return parts


def _tick(ends: tuple[float, float], k: int) -> str:
    return f"{ends[0] + (ends[1] - ends[0]) * k / 4:.3g}"


def _range(values: Sequence[Floats]) -> tuple[float, float]:
    low, high = min(float(one.min()) for one in values), max(float(one.max()) for one in values)
    margin = (high - low) * 0.05 or abs(low) * 0.05 or 1.0
    return low - margin, high + margin
