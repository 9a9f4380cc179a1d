"""A comparison as one HTML file that needs no other: who is best, how sure that is, where they differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rivals.decide.compare import Leaderboard
from rivals.decide.slicing import Slice
from rivals.errors import RivalsError
from rivals.flows.asked import Answered, Asked
from rivals.flows.drawing import Line, page, plot, plots, section, table, text, whisker
from rivals.flows.searched import Searched, searched
from rivals.statistics.curves import precision_recall, roc
from rivals.statistics.losses import Floats

SHOWN = 8  # variants in one plot: the best ones
STRANGEST = 10  # rows


def write_report(asked: Asked, found: Answered, file: Path, column: str | None = None) -> Path:
    """Write the report. Raises ``RivalsError`` where the file cannot be written."""
    whole = render(asked, found, column or "")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(whole, encoding="utf-8")
    except OSError as error:
        raise RivalsError(f"The report cannot be written to {file}: {error.strerror}; give another file.") from error
    return file


def render(asked: Asked, found: Answered, column: str = "") -> str:
    """The report as HTML."""
    board = found.board
    best = [row.variant for row in board.rows][:SHOWN]
    parts = [_summary(board), _leaderboard(found), _costs(board)]
    if asked.first.task == "binary":
        parts.append(_curves(asked, best))
    elif asked.first.task == "multiclass":
        parts.append(_confusion(asked, best[0]))
    else:
        parts.append(_residuals(asked, best))
    if found.slices:
        parts.append(_slices(found.slices, board, column))
    parts += [_disagreement(asked, best), _strangest(asked, board), _tests(asked, board), _searches(asked)]
    return page(
        f"{asked.workspace.spec.project}: {len(board.rows)} variants by {board.metric}", [one for one in parts if one]
    )


def _summary(board: Leaderboard) -> str:
    told = [text(f"Take {board.recommended}: {board.reason}")]
    if won := board.honest:
        told.append(
            text(
                f"Expect {board.metric} {won.estimate:.5g} of {won.variant} on as many new rows, "
                f"{1 - board.alpha:.0%} within [{won.low:.5g}, {won.high:.5g}]. Its own score is "
                f"flattered by {won.optimism:.2g}, because it was chosen as the best of {len(board.rows)}."
            )
        )
    told.append(
        text(f"{board.scored} rows that no model was fitted on, in {board.blocks} blocks drawn as a whole.", "note")
    )
    return "".join(told)


def _leaderboard(found: Answered) -> str:
    board = found.board
    least, most = min(row.low for row in board.rows), max(row.high for row in board.rows)
    rows = [
        [
            row.variant,
            f"{row.score:.5g}",
            f"{row.low:.5g} to {row.high:.5g}",
            whisker(row.low, row.score, row.high, least, most),
            "yes" if row.tied else "no",
            row.verdict,
            f"{row.difference:+.5g}" if row.verdict not in {"", "champion"} else "",
            f"{row.predict_us:.0f} us",
            f"{row.bytes / 1024:.0f} kB",
            f"{row.fit_seconds:.1f} s",
            "yes" if row.variant in found.front else "",
        ]
        for row in board.rows
    ]
    against = f"against {board.champion or 'champion'}"
    head = ["variant", board.metric, f"{1 - board.alpha:.0%} interval", "", "tied with the best", against, "by"]
    head += ["one row", "size", "fit", "front"]
    note = "Front: no other variant is at least as good in score, time and size at once, and better in one."
    return section("Leaderboard", table(head, rows, [board.recommended]), text(note, "note"))


def _costs(board: Leaderboard) -> str:
    lines = [
        Line(row.variant, np.array([row.predict_us]), np.array([row.score]), dots=True) for row in board.rows[:SHOWN]
    ]
    return section("Score and cost", plot("What a better score costs", "us a row", board.metric, lines))


def _curves(asked: Asked, names: Sequence[str]) -> str:
    target, weight = asked.first.target, asked.first.weight
    said = {name: asked.outputs(name)[:, 1] for name in names}
    reliable = {name: asked.calibration(name) for name in names}
    calibration = [Line(f"{name} ({one.error:.3f})", one.said, one.happened) for name, one in reliable.items()]
    caption = "Calibration, ten bins of equally many rows; in brackets the mean distance"
    figures = [plot(caption, "said", "happened", calibration, unit=True, diagonal=True)]
    if len(set(target.tolist())) > 1:
        rocs = [(name, roc(target, one, weight)) for name, one in said.items()]
        precise = [(name, precision_recall(target, one, weight)) for name, one in said.items()]
        lines = [Line(name, one.x, one.y) for name, one in rocs]
        figures.append(plot("ROC", "false alarms", "found", lines, unit=True, diagonal=True))
        lines = [Line(name, one.x, one.y) for name, one in precise]
        figures.append(plot("Precision and recall", "found", "right of those said", lines, unit=True))
    return section("Calibration, ROC, precision and recall", plots(*figures))


def _confusion(asked: Asked, name: str) -> str:
    labels = [str(label) for label in asked.first.labels]
    chosen = asked.outputs(name).argmax(axis=1)
    counts = np.zeros((len(labels), len(labels)), int)
    np.add.at(counts, (asked.first.target, chosen), 1)
    rows = [[label, *(str(one) for one in counts[i])] for i, label in enumerate(labels)]
    return section(f"What {name} said (across) of what happened (down)", table(["", *labels], rows))


def _residuals(asked: Asked, names: Sequence[str]) -> str:
    target, figures = asked.first.target.astype(np.float64), []
    shares = np.linspace(0.01, 0.99, 99)
    for across, against in (("predicted", True), ("share of rows", False)):
        lines = []
        for name in names:
            said = asked.outputs(name)[:, 0]
            if against:
                middle, gap = _binned(said, target - said)
                lines.append(Line(name, middle, gap))
            else:
                lines.append(Line(name, shares, np.quantile(target - said, shares)))
        caption = "Mean residual by what was predicted" if against else "Residuals from the lowest to the highest"
        figures.append(plot(caption, across, "truth minus predicted", lines))
    return section("Residuals", plots(*figures))


def _binned(x: Floats, y: Floats, bins: int = 20) -> tuple[Floats, Floats]:
    place = np.searchsorted(np.unique(np.quantile(x, np.linspace(0, 1, bins + 1)[1:-1])), x, "right")
    rows = np.bincount(place)
    full = rows > 0
    return np.bincount(place, x)[full] / rows[full], np.bincount(place, y)[full] / rows[full]


def _slices(slices: Sequence[Slice], board: Leaderboard, column: str) -> str:
    rows = [
        [
            one.value,
            one.variant,
            str(one.rows),
            f"{one.score:.5g}",
            f"{one.difference:+.5g}",
            "" if math.isnan(one.q) else f"{one.q:.3f}",
            one.verdict or "too few rows",
        ]
        for one in slices
    ]
    head = [column, "variant", "rows", board.metric, "difference", "q", "verdict"]
    note = "Of the verdicts better and worse, at most one in twenty is expected to be false (Benjamini and Hochberg)."
    return section(f"Slices by {column}", table(head, rows), text(note, "note"))


def _disagreement(asked: Asked, names: Sequence[str]) -> str:
    if not asked.first.labels:
        kind, said = "mean absolute difference", [asked.outputs(name)[:, 0] for name in names]
        apart = [[np.abs(one - other).mean() for other in said] for one in said]
    else:
        kind, chosen = "share of rows given another label", [asked.outputs(name).argmax(axis=1) for name in names]
        apart = [[(one != other).mean() for other in chosen] for one in chosen]
    rows = [[name, *(f"{value:.3g}" for value in row)] for name, row in zip(names, apart, strict=True)]
    return section("Disagreement between variants", table(["", *names], rows), text(f"In each cell: {kind}.", "note"))


def _strangest(asked: Asked, board: Leaderboard) -> str:
    """Rows on which the best and its rival (the champion, or the second) differ most."""
    names = [row.variant for row in board.rows]
    if len(names) == 1:
        return ""
    one, other = names[0], board.champion if board.champion not in {"", names[0]} else names[1]
    first, second = asked.outputs(one), asked.outputs(other)
    places = np.argsort(-np.abs(first - second).max(axis=1), kind="stable")[:STRANGEST]
    labels = asked.first.labels
    rows = [
        [
            str(asked.first.ids[i]),
            str(labels[int(asked.first.target[i])] if labels else f"{asked.first.target[i]:.5g}"),
            " ".join(f"{value:.3g}" for value in first[i]),
            " ".join(f"{value:.3g}" for value in second[i]),
        ]
        for i in places
    ]
    return section(f"Rows on which {one} and {other} differ most", table(["row", "truth", one, other], rows))


def _tests(asked: Asked, board: Leaderboard) -> str:
    """The usual tests, for readers who ask for them by name."""
    best, folds = board.rows[0].variant, asked.first.fold
    kinds = ["corrected_t"] if len(set(folds[folds >= 0].tolist())) > 1 else []
    kinds += ["mcnemar"] if asked.first.labels else []
    kinds += ["delong"] if asked.first.task == "binary" and len(set(asked.first.target.tolist())) > 1 else []
    others = [row.variant for row in board.rows[1:]]
    if not others or not kinds:
        return ""
    rows = [[name, *(f"{asked.test(best, name, kind, board.metric).p:.3g}" for kind in kinds)] for name in others]
    titles = {"corrected_t": "corrected resampled t", "mcnemar": "McNemar", "delong": "DeLong"}
    note = "p-values. The last two take rows for independent of one another; the leaderboard does not."
    head = ["variant", *(titles[one] for one in kinds)]
    return section(f"{best} against each other variant", table(head, rows), text(note, "note"))


def _searches(asked: Asked) -> str:
    """How the searches went, where there were any."""
    found = searched(asked.workspace)
    if not found:
        return ""
    lines = [
        Line(one.variant, np.array(one.history)[:, 0], np.array(one.history)[:, 1]) for one in found if one.history
    ]
    rows = [_search(one) for one in found]
    head = ["variant", "trials", "stopped early", "failed", "computing", "of all", "best options", "what mattered"]
    drawn = plot("Best loss so far", "seconds of computing", "loss", lines[:SHOWN])
    return section("Searches", plots(drawn) + table(head, rows) + _fronts(found))


def _fronts(found: Sequence[Searched]) -> str:
    """Trials that no other beats in loss, latency and size, where these were asked."""
    rows = [
        [
            one.variant,
            f"{trial.loss:.5g}",
            f"{trial.latency_ms or 0:.3g} ms",
            f"{trial.size_mb or 0:.3g} MB",
            _options(trial.params),
        ]
        for one in found
        for trial in one.front
    ]
    return table(["nobody is better in all three", "loss", "one row", "size", "options"], rows) if rows else ""


def _search(one: Searched) -> list[str]:
    counts = [f"{count:,}" for count in (one.trials, one.stopped, one.failed)]
    mattered = ", ".join(f"{name} {part:.0%}" for name, part in _ranked(one)[:4]) or "too few trials"
    return [one.variant, *counts, f"{one.seconds:.1f} s", f"{one.share:.0%}", _options(one.best), mattered]


def _options(params: Mapping[str, object]) -> str:
    return ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items()) or "as it is"


def _ranked(one: Searched) -> list[tuple[str, float]]:
    return sorted(one.importance.items(), key=lambda item: -item[1])
