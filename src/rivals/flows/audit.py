"""Judge rollouts that were made elsewhere, from a Parquet or CSV file of their answers.

Columns: ``time`` and ``variant``; ``failed`` (or ``outcome``: ok, or an HTTP status); ``label`` with ``score``, or
``reward``; and where there are any ``unit``, ``share`` (the challenger's) or ``propensity`` (of the variant that
answered), ``revision``, ``label_time``, ``rollout`` (else the file is one), ``decision`` (promote, rollback, hold).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rivals.decide.audit import Audit, Rules, audit
from rivals.decide.strata import Log
from rivals.errors import DataError
from rivals.values import Status

EARLY = 0.1  # of the rows, whose most frequent variant is taken for the champion
CLEARLY = 1.2  # times as many rows as the next one
CHAMPIONS = frozenset({"champion", "control", "stable", "primary", "baseline"})
FAILED_STATUS = 500  # HTTP statuses from here on are failures
DECISIONS = {
    "promote": "promote", "promoted": "promote", "rollback": "rollback", "rolled_back": "rollback", "hold": "hold",
    "held": "hold",
}  # fmt: skip
TWO = 2


def audit_log(
    path: Path, *, champion: str | None = None, share: float | None = None, decided: str | None = None,
    rules: Rules | None = None,
) -> list[Audit]:  # fmt: skip
    """One audit per rollout and challenger, in the order of the file's rollouts.

    ``champion``: else the variant called so (or control, stable, primary, baseline), or the clear majority of the
    rollout's first tenth. ``share``: what the challenger was promised throughout, where no column says it. Raises
    ``DataError`` naming the column that is missing or cannot be read.
    """
    columns = _read(path)
    for name in ("time", "variant"):
        if name not in columns:
            raise DataError(f"{path}: there is no column {name!r}; it has {', '.join(columns)}.")
    if share is not None and not 0 < share < 1:
        raise DataError(f"--share is the challenger's part of the traffic, above 0 and below 1; not {share:g}.")
    rows = len(columns["time"])
    if not rows:
        raise DataError(f"{path}: there are no rows.")
    time = _times(path, "time", columns["time"])
    owner = _texts(columns["rollout"]) if "rollout" in columns else np.full(rows, path.stem, object)
    found = []
    for rollout in dict.fromkeys(owner.tolist()):
        mine = np.flatnonzero(owner == rollout)
        mine = mine[np.argsort(time[mine], kind="stable")]
        table = {name: column[mine] for name, column in columns.items()}
        found += _rollout(path, (rollout, champion), table, time[mine], (share, decided, rules or Rules()))
    return found


def conclusion(audits: Sequence[Audit]) -> str:
    """fail: a decision was wrong, a split was, or (where none was logged) harm is proven; else pass or inconclusive."""
    if any(one.decision == "wrong" or one.split.status is Status.FAIL for one in audits):
        return "fail"
    if any(one.decision is None and one.status is Status.FAIL for one in audits):
        return "fail"
    good = all(one.decision == "supported" or (one.decision, one.status) == (None, Status.PASS) for one in audits)
    return "pass" if good else "inconclusive"


def _rollout(
    path: Path,
    names: tuple[str, str | None],
    table: Mapping[str, Any],
    time: Any,
    given: tuple[float | None, str | None, Rules],
) -> list[Audit]:
    rollout, champion = names
    share, decided, rules = given
    variants = _texts(table["variant"])
    known = list(dict.fromkeys(variants.tolist()))
    champion = champion or _champion(path, rollout, variants)
    if champion not in known:
        raise DataError(f"{path}: rollout {rollout!r} has no variant {champion!r}; it has {', '.join(known)}.")
    if len(known) < TWO:
        raise DataError(f"{path}: rollout {rollout!r} has only the variant {champion!r}; there is nothing to compare.")
    if decided is None and "decision" in table:
        decided = next((text for text in reversed(_texts(table["decision"]).tolist()) if text), None)
    if decided is not None and decided not in DECISIONS:
        raise DataError(f"{path}: the decision {decided!r} is none of {', '.join(DECISIONS)}.")
    log = _log(path, table, time, variants == champion, share, pair=len(known) == TWO)
    audits = []
    for challenger in known:
        if challenger != champion:
            pair = log.take(np.flatnonzero((variants == champion) | (variants == challenger)))
            audits.append(audit(pair, (rollout, champion, challenger), DECISIONS.get(decided or ""), rules))
    return audits


def _champion(path: Path, rollout: str, variants: Any) -> str:
    """Who is called so, else who was clearly in the majority when the rollout began."""
    names: list[str] = variants.tolist()
    called = [name for name in dict.fromkeys(names) if name.lower() in CHAMPIONS]
    if len(called) == 1:
        return called[0]
    first = Counter(names[: max(1, int(EARLY * len(names)))]).most_common(2)
    if len(first) == TWO and first[0][1] < CLEARLY * first[1][1]:
        raise DataError(f"{path}: rollout {rollout!r} does not show which variant was there first; say --champion.")
    return first[0][0]


def _log(path: Path, table: Mapping[str, Any], time: Any, champions: Any, share: float | None, *, pair: bool) -> Log:
    """The columns as numbers. A ``propensity`` tells the pair's share only where there are no others."""
    shares = None
    if "share" in table:
        shares = _numbers(path, "share", table["share"])
    elif "propensity" in table and pair:
        given = _numbers(path, "propensity", table["propensity"])
        shares = np.where(champions, 1 - given, given)
    elif share is not None:
        shares = np.full(len(time), share)
    if shares is not None and not ((shares >= 0) & (shares <= 1)).all():
        raise DataError(f"{path}: column 'share' or 'propensity' has values that are not between 0 and 1.")
    arrived = _times(path, "label_time", table["label_time"]) if "label_time" in table else None
    return Log(
        time,
        ~champions,
        _failed(path, table),
        _loss(path, table),
        arrived,
        _codes(table.get("unit")),
        _codes(table.get("revision")),
        shares,
    )


def _failed(path: Path, table: Mapping[str, Any]) -> Any:
    if "failed" in table:
        values = _numbers(path, "failed", table["failed"])
        if not np.isin(values, (0.0, 1.0)).all():
            raise DataError(f"{path}: column 'failed' is true or false in every row.")
        return values == 1.0
    if "outcome" not in table:
        return None
    if table["outcome"].dtype.kind in "iuf":
        return _numbers(path, "outcome", table["outcome"]) >= FAILED_STATUS
    return _texts(table["outcome"]) != "ok"


def _loss(path: Path, table: Mapping[str, Any]) -> Any:
    """Squared distance of score and label, which for a probability is its Brier score; or the reward, negated."""
    if "reward" in table:
        return -_numbers(path, "reward", table["reward"])
    if "label" not in table or "score" not in table:
        return None
    return (_numbers(path, "score", table["score"]) - _numbers(path, "label", table["label"])) ** 2


def _read(path: Path) -> dict[str, Any]:
    import pyarrow as pa  # noqa: PLC0415 -- of the build extra; only this verb needs it
    import pyarrow.csv as pa_csv  # noqa: PLC0415 -- as above
    import pyarrow.parquet as pq  # noqa: PLC0415 -- as above

    try:
        table = pa_csv.read_csv(path) if path.suffix.lower() == ".csv" else pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix or 'Parquet'}: {error}.") from None
    return {name: table.column(name).to_numpy() for name in table.column_names}


def _times(path: Path, name: str, column: Any) -> Any:
    """Seconds since the epoch; NaN where there is none."""
    if column.dtype.kind == "M":
        seconds = column.astype("datetime64[us]").astype(np.int64) / 1e6
        seconds = np.where(np.isnat(column), np.nan, seconds)
    elif column.dtype.kind == "O":
        try:
            seconds = _times(path, name, column.astype("datetime64[us]"))
        except ValueError:
            seconds = _numbers(path, name, column)
    else:
        seconds = _numbers(path, name, column)
    if name == "time" and not np.isfinite(seconds).all():
        raise DataError(f"{path}: column 'time' is a time in every row.")
    return seconds


def _numbers(path: Path, name: str, column: Any) -> Any:
    try:
        return column.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{path}: column {name!r} holds values that are not numbers.") from None


def _texts(column: Any) -> Any:
    return np.array(["" if one is None or one != one else str(one) for one in column.tolist()], object)  # noqa: PLR0124 -- NaN


def _codes(column: Any) -> Any:
    if column is None:
        return None
    return np.unique(_texts(column).astype(str), return_inverse=True)[1].reshape(-1).astype(np.int64)
