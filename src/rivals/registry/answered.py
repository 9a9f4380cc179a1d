"""What was answered, and what it turned out to mean: exposures and feedback, as the store keeps and reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from rivals.registry import schema, truth
from rivals.registry.database import Database
from rivals.registry.lags import keep_lags
from rivals.registry.shipping import Close, keep_exposures, keep_inputs
from rivals.registry.transaction import read
from rivals.registry.truth import Known, keep_feedback, settle
from rivals.values import Exposure, Feedback, Outcome, Pair, Rewarded

ROWS_AT_ONCE = 256  # rows of one request that are looked up in one go


class Answered(Database):
    """Exposures and feedback in a database."""

    # -- writing ----------------------------------------------------------------

    def ship(
        self,
        source: str,
        seq: int,
        opens: Sequence[Exposure],
        closes: Sequence[Close],
        feedback: Sequence[Feedback],
        inputs: Sequence[tuple[str, bytes]] = (),
    ) -> None:
        """Take in one batch of a journal file, up to its entry ``seq``; a batch that was taken in already is ignored.

        Keyed by (id, variant), the first open and the first close count; a close comes with its open or after it.
        """
        cursors = schema.cursors
        with self.transaction() as tx:
            cursor = tx.connection.execute(sa.select(cursors.c.seq).where(cursors.c.source == source)).scalar()
            if cursor is not None and seq <= cursor:
                return
            keep_exposures(tx.connection, opens, closes)
            keep_lags(tx.connection, feedback)
            keep_feedback(tx.connection, feedback)
            keep_inputs(tx.connection, inputs)
            if cursor is None:
                tx.connection.execute(sa.insert(cursors), {"source": source, "seq": seq})
            else:
                tx.connection.execute(sa.update(cursors).where(cursors.c.source == source), {"seq": seq})

    def take(self, feedback: Sequence[Feedback]) -> int:
        """Take in feedback that came by another way than a journal; returns how many rows said something new."""
        with self.transaction() as tx:
            keep_lags(tx.connection, feedback)
            return keep_feedback(tx.connection, feedback)

    def cursors(self) -> dict[str, int]:
        """How far each journal file was taken in."""
        return dict(self.rows(sa.select(schema.cursors.c.source, schema.cursors.c.seq)))

    # -- reading ----------------------------------------------------------------

    def exposures_since(
        self, endpoint: str, after_seq: int, limit: int, variants: Sequence[str]
    ) -> list[tuple[int, Exposure]]:
        """Closed exposures of these variants in the order they were closed, with the number to go on after.

        Numbers are given at closing and appear in their order, so that no late close is passed over.
        """
        one = schema.exposures.c
        query = (
            sa.select(one.closed_seq, *_EXPOSURE)
            .where(one.endpoint == endpoint, one.closed_seq > after_seq, one.variant.in_(variants))
            .order_by(one.closed_seq)
            .limit(limit)
        )
        return [(row[0], _exposure(row[1:])) for row in self.rows(query)]

    def pairs(self, endpoint: str, champion: str, challenger: str, start: float, end: float) -> list[Pair]:
        """Rows of the time [start, end) that both variants answered, with their label once it is known."""
        of_champion, of_challenger = schema.exposures.alias(), schema.exposures.alias()
        one, other, told = of_champion.c, of_challenger.c, schema.feedback.c
        query = (
            sa.select(one.id, one.unit, one.time, told.label, one.output, other.output, one.slices)
            .join_from(of_champion, of_challenger, sa.and_(other.id == one.id, other.variant == challenger))
            .join(schema.feedback, told.id == one.id, isouter=True)
            .where(one.endpoint == endpoint, one.time >= start, one.time < end, one.variant == champion)
            .where(one.outcome == Outcome.OK.value, other.outcome == Outcome.OK.value)
            .order_by(one.time, one.id)
        )
        found, labels = self._settled("label", query)
        return [
            Pair(row[0], row[2], read(row[4], Output), read(row[5], Output), label, read(row[6], Slices))
            for row, label in zip(found, labels, strict=True)
        ]

    def units_asked(self, endpoint: str, start: float, end: float, most: int) -> int:
        """How many units clients asked for in the time [start, end), counted up to ``most``."""
        one = schema.exposures.c
        query = sa.select(one.unit).where(one.endpoint == endpoint, one.time >= start, one.time < end)
        units = query.where(one.shadow.is_(False)).distinct().limit(most).subquery()
        return int(self._one(sa.select(sa.func.count()).select_from(units)) or 0)

    def labelled(
        self, endpoint: str, variant: str, start: float = -math.inf, end: float = math.inf
    ) -> tuple[NDArray[np.float64], NDArray[Any]]:
        """Outputs (rows, k) that clients got from a variant in the time [start, end), and their labels (rows,)."""
        one, told = schema.exposures.c, schema.feedback.c
        query = self._answers(endpoint, start, end).where(one.variant == variant)
        found, labels = self._settled("label", query.add_columns(told.label, one.output))
        known = [(row.output, label) for row, label in zip(found, labels, strict=True) if label is not None]
        outputs = np.array([read(output, Output) for output, _ in known], dtype=np.float64)
        return outputs.reshape(len(known), -1) if known else outputs.reshape(0, 0), np.array([y for _, y in known])

    def rewarded(self, endpoint: str, start: float = -math.inf, end: float = math.inf) -> list[Rewarded]:
        """Answers to clients in the time [start, end) that have a reward, in the order of time and id.

        Take ``end`` from what is mature: rewards as they come would favour whichever variant's come sooner.
        """
        one, told = schema.exposures.c, schema.feedback.c
        query = self._answers(endpoint, start, end).add_columns(told.reward, one.variant, one.propensity)
        return [
            Rewarded(row.id, row.unit, row.variant, row.time, msgspec.json.decode(row.propensity), reward)
            for row, reward in zip(*self._settled("reward", query), strict=True)
            if reward is not None
        ]

    def closed(
        self, endpoint: str, start: float, end: float
    ) -> list[tuple[int, Exposure, Any, float | None, dict[str, Any] | None]]:
        """Closed exposures of the time [start, end), shadows too, by time and id.

        Each with its number in the order of closing, its label, its reward and what it asked, as far as they are known.
        """
        one, asked = schema.exposures.c, schema.inputs.c
        query = (
            sa.select(one.closed_seq, asked.body, *_EXPOSURE)
            .join_from(schema.exposures, schema.inputs, asked.id == one.id, isouter=True)
            .where(one.endpoint == endpoint, one.time >= start, one.time < end, one.closed_seq.is_not(None))
            .order_by(one.time, one.id, one.variant)
        )
        found = self.rows(query)
        known = [(row.id, row.unit, row.time) for row in found]
        return [
            (row[0], _exposure(row[2:]), label, reward, None if row[1] is None else read(row[1], dict))
            for row, label, reward in zip(found, self.told(known, "label"), self.told(known, "reward"), strict=True)
        ]

    def first_time(self, endpoint: str, since: float = -math.inf, revision: int = 0) -> float | None:
        """The time of the oldest exposure from a time on, under that revision of the table or a later one."""
        one = schema.exposures.c
        query = sa.select(one.time).where(one.endpoint == endpoint, one.time >= since, one.revision >= revision)
        found: float | None = self._one(query.order_by(one.time).limit(1))
        return found

    def latencies(self, endpoint: str, variant: str, most: int) -> list[int]:
        """How long the last ``most`` answers of a variant to clients took, in microseconds; the latest first."""
        one = schema.exposures.c
        query = (
            sa.select(one.latency_us)
            .where(one.endpoint == endpoint, one.variant == variant, one.closed_seq.is_not(None))
            .where(one.shadow.is_(False), one.outcome == Outcome.OK.value)
        )
        return [value for (value,) in self.rows(query.order_by(one.closed_seq.desc()).limit(most))]

    def label_join(self, endpoint: str, variant: str, start: float, end: float) -> tuple[int, int]:
        """Answers that clients got from a variant in the time [start, end): how many, and how many with a label."""
        one = schema.exposures.c
        query = (
            sa.select(sa.func.count())
            .where(one.endpoint == endpoint, one.time >= start, one.time < end, one.variant == variant)
            .where(one.outcome == Outcome.OK.value, one.shadow.is_(False))
        )
        return int(self._one(query)), len(self.labelled(endpoint, variant, start, end)[1])

    def counts(self, endpoint: str) -> dict[str, dict[str, int]]:
        """Closed exposures by variant: ``requests`` and ``failures`` for clients, ``shadows`` and ``shadow_failures``.

        Every kind of failure there was is counted under its own name too, as ``error`` or ``shadow_shed``.
        """
        found: dict[str, dict[str, int]] = {}
        for variant, name, value in self._tallies(endpoint):
            if name != "expected":
                counts = {"requests": 0, "failures": 0, "shadows": 0, "shadow_failures": 0}
                found.setdefault(variant, counts)[name] = int(value)
        return found

    def expected(self, endpoint: str) -> dict[str, float]:
        """Closed requests that each variant should have had: the sum of its propensities."""
        return {variant: value for variant, name, value in self._tallies(endpoint) if name == "expected"}

    def answered(self, endpoint: str) -> int:
        """Closed exposures that were for clients."""
        return sum(int(value) for _, name, value in self._tallies(endpoint) if name == "requests")

    def feedback_counts(self) -> dict[str, int]:
        """Feedback: ids ``kept``, those ``unknown`` to any exposure, what was ``contradicting``; and ``windows``."""
        with self.snapshot() as connection:
            return truth.counts(connection)

    def never_told(self, exposure_id: str, time: float) -> bool:
        """Whether nothing at all is known of an exposure: not even what contradicts, nor of its unit at that time."""
        one, other, window = schema.feedback.c, schema.contradictions.c, schema.windows.c
        told = (
            sa.select(one.id).where(one.id == exposure_id, one.label.is_not(None)),
            sa.select(other.id).where(other.id == exposure_id),
            sa.select(window.unit).where(window.start <= time, window.end > time),
        )
        return not any(self.rows(query.limit(1)) for query in told)

    def exposure(self, request_id: str) -> list[Exposure]:
        """What was asked under a request's id, or under the id of one of its rows; in the order it was asked."""
        one, found, start = schema.exposures.c, list[sa.Row[Any]](), 0
        ids = [request_id]
        while True:  # rows are numbered without gaps, and a pattern search would read the whole table
            ids += [f"{request_id}/{row}" for row in range(start, start + ROWS_AT_ONCE)]
            more = self.rows(sa.select(one.seq, *_EXPOSURE).where(one.id.in_(ids)))
            found += more
            if len({row.id for row in more}) < ROWS_AT_ONCE:
                return [_exposure(row[1:]) for row in sorted(found)]
            start, ids = start + ROWS_AT_ONCE, []

    def label(self, exposure_id: str) -> Any:
        """The label of an exposure; None while there is none, and where what was told differs."""
        one = schema.exposures.c
        known = self.rows(sa.select(one.id, one.unit, one.time).where(one.id == exposure_id).limit(1))
        return self.told([tuple(row) for row in known] or [(exposure_id, "", math.nan)], "label")[0]

    def told(self, exposed: Sequence[tuple[str, str, float]], kind: truth.Kind) -> list[Any]:
        """Labels or rewards of exposures by (id, unit, time), wherever they are kept; None: none."""
        with self.snapshot() as connection:
            return truth.told(connection, kind, exposed)

    def inputs(self, exposure_id: str) -> dict[str, Any] | None:
        """What a row asked, by column; None where it was not captured, or is in the archive."""
        text = self._one(sa.select(schema.inputs.c.body).where(schema.inputs.c.id == exposure_id))
        return None if text is None else read(text, dict)

    def closings(self) -> int:
        """The number of the exposure that was closed last; 0 before the first."""
        return self._one(sa.select(schema.counters.c.value).where(schema.counters.c.name == schema.CLOSINGS)) or 0

    def latest_time(self, endpoint: str) -> float | None:
        """The time of the newest exposure, on the endpoint's clock; None before the first."""
        one = schema.exposures.c
        found: float | None = self._one(sa.select(sa.func.max(one.time)).where(one.endpoint == endpoint))
        return found

    # -- helpers --------------------------------------------------------------------------------------------

    def _answers(self, endpoint: str, start: float, end: float) -> sa.Select[Any]:
        """Answers that clients got, with what was told of them by id, in an order that does not depend on arrival."""
        one, told = schema.exposures.c, schema.feedback.c
        return (
            sa.select(one.id, one.unit, one.time)
            .join_from(schema.exposures, schema.feedback, told.id == one.id, isouter=True)
            .where(one.endpoint == endpoint, one.time >= start, one.time < end)
            .where(one.outcome == Outcome.OK.value, one.shadow.is_(False))
            .order_by(one.time, one.id, one.variant)
        )

    def _settled(self, kind: truth.Kind, query: sa.Select[Any]) -> tuple[Sequence[Any], list[Any]]:
        """What a query finds (id, unit, time, what was told by id, ...), and the label or reward of each row."""
        with self.snapshot() as connection:
            found = connection.execute(query).all()
            known = [Known(row[0], row[1], row[2], truth.as_json(kind, row[3])) for row in found]
            return found, settle(connection, kind, known)[0]

    def _tallies(self, endpoint: str) -> Sequence[Any]:
        one = schema.tallies.c
        query = sa.select(one.variant, one.name, one.value).where(one.endpoint == endpoint)
        return self.rows(query.order_by(one.variant))


Output = tuple[float, ...]
Slices = tuple[str, ...]
_EXPOSURE = [schema.exposures.c[one.name] for one in fields(Exposure)]


def _exposure(row: Sequence[Any]) -> Exposure:
    kept = dict(zip(Exposure.__slots__, row, strict=True))
    propensity, outcome, output = msgspec.json.decode(kept["propensity"]), kept["outcome"], kept["output"]
    known = {"propensity": propensity, "outcome": Outcome(outcome), "output": read(output, Output)}
    return Exposure(**kept | known | {"slices": read(kept["slices"], Slices)})
