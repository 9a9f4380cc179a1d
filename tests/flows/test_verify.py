"""Every decision is made again from what the store has; one changed byte anywhere is named."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from rivals.errors import LedgerError
from rivals.flows.forget import forget_unit
from rivals.flows.rollout import tick
from rivals.flows.verify import evidence_digest, verify_ledger
from rivals.registry import schema
from rivals.registry.ledger import START, entry_hash
from rivals.values import Exposure, Feedback, Outcome

from .conftest import Site

HOUR = 3600.0
Sites = Callable[..., Site]


def hour(one: Site, pairs: int, seed: int) -> None:
    """An hour of answers, each put to both; most of them labelled, some failed."""
    opens, closes, labels = [], [], []
    for i in range(pairs):
        name, at = f"{seed}-{i}/0", one.now + i * HOUR / (pairs + 1)
        failed = (i + seed) % 17 == 0
        for variant in ("old", "new"):
            shadow = variant == "new"
            opens.append(
                Exposure(name, variant, shadow, one.name, 1, at, f"{seed}-{i}", {} if shadow else {"old": 1.0})
            )
            score = ((i * 7 + seed * 3 + shadow) % 10) / 10
            said = () if failed and shadow else (1 - score, score)
            closes.append((name, variant, Outcome.ERROR if failed and shadow else Outcome.OK, 100 + i, said))
        if i % 5:
            labels.append(Feedback(name, (i + seed) % 2, time=at))
    one.workspace.store.ship("hours", seed, opens, closes, labels)
    one.now += HOUR


def lived(one: Site, hours: int, pairs: int) -> Site:
    one.start()
    for seed in range(1, hours + 1):
        hour(one, pairs, seed)
        if tick(one.workspace, one.now) is None:
            break
    return one


@pytest.fixture
def hourly(site: Sites) -> Callable[..., Site]:
    def make(hours: int, pairs: int) -> Site:
        one = site(judges="failures, quality")
        spec = one.workspace.spec
        assert spec.endpoint is not None
        rollout = spec.endpoint.rollout.model_copy(update={"block": HOUR, "deadline": 1e9})
        endpoint = spec.endpoint.model_copy(update={"rollout": rollout, "autonomy": "observe"})
        one.workspace = replace(one.workspace, spec=spec.model_copy(update={"endpoint": endpoint}))
        return lived(one, hours, pairs)

    return make


def test_decisions_are_derived_again_to_the_byte(hourly: Callable[..., Site]) -> None:
    found = verify_ledger(hourly(hours=40, pairs=35).workspace)
    assert found["derived"] == found["judged"] >= 38
    assert found["erased"] == 0


@pytest.mark.slow
def test_a_thousand_decisions_are_derived_again_to_the_byte(hourly: Callable[..., Site]) -> None:
    found = verify_ledger(hourly(hours=1_002, pairs=31).workspace)
    assert found["derived"] == found["judged"] >= 1_000


def test_labels_that_come_later_change_no_decision(hourly: Callable[..., Site]) -> None:
    one = hourly(hours=12, pairs=35)
    late = [Feedback(f"{seed}-{i}/0", 1, time=one.now) for seed in range(1, 4) for i in range(0, 35, 5)]
    torn = [Feedback("1-1/0", 0, time=one.now), Feedback("1-2/0", 0, time=one.now)]
    one.workspace.store.ship("late", 1, [], [], [*late, *torn])
    found = verify_ledger(one.workspace)
    assert found["derived"] == found["judged"]


def test_a_forgotten_unit_leaves_a_ledger_that_says_erased(hourly: Callable[..., Site]) -> None:
    one = hourly(hours=8, pairs=35)
    before = verify_ledger(one.workspace)
    forget_unit(one.workspace, "4-3")
    after = verify_ledger(one.workspace)
    assert after["judged"] == before["judged"]
    assert 0 < after["derived"] < before["derived"]
    assert after["erased"] == after["judged"] - after["derived"]


def flipped(value: Any) -> Any:
    """One byte of it is another."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, bytes):
        middle = len(value) // 2
        return value[:middle] + bytes([value[middle] ^ 1]) + value[middle + 1 :]
    if isinstance(value, str):
        middle = len(value) // 2
        return value[:middle] + chr(ord(value[middle]) ^ 64) + value[middle + 1 :]
    return value + 1


COLUMNS: list[tuple[sa.Table, str]] = [
    *((schema.ledger, name) for name in ("endpoint", "kind", "time", "body", "previous", "hash")),
    *(
        (schema.exposures, name)
        for name in (
            "id", "variant", "shadow", "endpoint", "revision", "time", "unit", "propensity", "outcome", "latency_us",
            "output", "closed_seq", "slices",
        )
    ),
    (schema.feedback, "label"),
    (schema.state, "raw"),
    (schema.rollouts, "body"),
    (schema.routing_tables, "body"),
]  # fmt: skip


def test_one_changed_byte_anywhere_is_named(hourly: Callable[..., Site]) -> None:
    one = hourly(hours=6, pairs=35)
    engine = one.workspace.store._engine
    verify_ledger(one.workspace)
    missed = []
    for table, name in COLUMNS:
        key = table.c.revision if table is schema.routing_tables else next(iter(table.primary_key.columns))
        query = sa.select(key, table.c[name]).where(table.c[name].is_not(None))
        if table is schema.exposures:
            # What is younger was not judged yet; the first one is from before the rollout.
            query = query.where(table.c.time < one.now - 3 * HOUR, key > 1)
        if table is schema.feedback:  # a label of what one of the two did not answer is not judged
            unanswered = sa.select(schema.exposures.c.id).where(schema.exposures.c.outcome != "ok")
            query = query.where(table.c.time < one.now - 3 * HOUR, key.not_in(unanswered))
        if table is schema.state:
            query = query.where(key.like("block/%"))
        with engine.connect() as connection:
            rows = list(connection.execute(query.order_by(key)))
        rows = [(number, old) for number, old in rows if old != ""]
        for number, old in itertools.islice(rows, 0, None, max(1, len(rows) // 4)):
            change = sa.update(table).where(key == number)
            with engine.begin() as connection:
                connection.execute(change.values({name: flipped(old)}))
            try:
                verify_ledger(one.workspace)
            except LedgerError as error:
                assert "ledger" in str(error) or "ollout" in str(error) or "outing" in str(error)
            else:
                missed.append(f"{table.name}.{name} {number}")
            with engine.begin() as connection:
                connection.execute(change.values({name: old}))
    assert missed == []
    verify_ledger(one.workspace)


def forged(one: Site, change: Callable[[dict[str, Any]], object]) -> int:
    """Change the body of the last verdict and chain the ledger anew, as a clever forger would; which entry it was."""
    table, previous, forged_at = schema.ledger, START, 0
    rows = one.workspace.store.rows(sa.select(table).order_by(table.c.seq))
    last = max(row.seq for row in rows if row.kind == "rollout.judged")
    with one.workspace.store.transaction() as tx:
        for row in rows:
            text = row.body
            if row.seq == last:
                body = json.loads(text)
                change(body)
                text, forged_at = msgspec.json.encode(body, order="sorted").decode(), row.seq
            fresh = entry_hash(previous, (row.seq, row.endpoint, row.kind, row.time, text))
            values = {"body": text, "previous": previous, "hash": fresh}
            tx.connection.execute(sa.update(table).where(table.c.seq == row.seq).values(values))
            previous = fresh
    return forged_at


def with_digest(body: dict[str, Any]) -> None:
    body["evidence"]["log_e"]["quality.worse"] = 9.0
    body["evidence_digest"] = evidence_digest(body["evidence"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body["evidence"]["log_e"].update({"failures.harm": 0.1}), "not the one its digest"),
        (with_digest, "does not follow from the exposures"),
        (lambda body: body["verdict"].update(status="pass"), "does not lead to its verdict"),
        (lambda body: body["instructions"].append({"kind": "Promote"}), "what was done does not follow"),
        (lambda body: body["rollout_after"].update(phase="canary", step=0), "what was done does not follow"),
        (lambda body: body["taken"].update(cursor=body["taken"]["cursor"] - 1), "are not what they were"),
        (lambda body: body["taken"].update(log="0" * 64), "are not what they were"),
    ],
)
def test_a_clever_forger_is_found_by_what_the_entry_was_made_from(
    hourly: Callable[..., Site], change: Callable[[dict[str, Any]], object], says: str
) -> None:
    one = hourly(hours=5, pairs=35)
    at = forged(one, change)
    with pytest.raises(LedgerError, match=rf"Entry {at} of the ledger .*{says}"):
        verify_ledger(one.workspace)
