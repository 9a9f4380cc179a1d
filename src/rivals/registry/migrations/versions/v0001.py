"""The tables as they were when revisions began. What a store of an earlier day lacks of them joins it here."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, Text

revision = "0001"
down_revision = None

Number = BigInteger().with_variant(Integer, "sqlite")
Words = Text().with_variant(Text(collation="C"), "postgresql")

TABLES: dict[str, list[Column[object]]] = {
    "schema_version": [Column("version", Integer, primary_key=True)],
    "routing_tables": [
        Column("endpoint", Words, primary_key=True),
        Column("revision", Integer, primary_key=True),
        Column("body", Words, nullable=False),
    ],
    "rollouts": [
        Column("number", Number, primary_key=True),
        Column("id", Words, nullable=False, unique=True),
        Column("endpoint", Words, nullable=False),
        Column("final", Boolean, nullable=False),
        Column("body", Words, nullable=False),
    ],
    "exposures": [
        Column("seq", Number, primary_key=True),
        Column("id", Words, nullable=False),
        Column("variant", Words, nullable=False),
        Column("shadow", Boolean, nullable=False),
        Column("endpoint", Words, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("time", Double, nullable=False),
        Column("unit", Words, nullable=False),
        Column("propensity", Words, nullable=False),
        Column("outcome", Words, nullable=False),
        Column("latency_us", Number, nullable=False),
        Column("output", Words, nullable=False),
        Column("slices", Words, nullable=False, server_default="[]"),
        Column("closed_seq", BigInteger),
    ],
    "feedback": [
        Column("id", Words, primary_key=True),
        Column("label", Words),
        Column("reward", Double),
        Column("time", Double, nullable=False),
    ],
    "contradictions": [Column("id", Words, primary_key=True), Column("kind", Words, primary_key=True)],
    "windows": [
        Column("unit", Words, primary_key=True),
        Column("start", Double, primary_key=True),
        Column("end", Double, primary_key=True),
        Column("kind", Words, primary_key=True),
        Column("value", Words, primary_key=True),
    ],
    "inputs": [Column("id", Words, primary_key=True), Column("body", Words, nullable=False)],
    "erased": [
        Column("id", Words, primary_key=True),
        Column("variant", Words, primary_key=True),
        Column("endpoint", Words, nullable=False),
        Column("closed_seq", BigInteger),
        Column("digest", Words, nullable=False),
    ],
    "cursors": [Column("source", Words, primary_key=True), Column("seq", BigInteger, nullable=False)],
    "tallies": [
        Column("endpoint", Words, primary_key=True),
        Column("variant", Words, primary_key=True),
        Column("name", Words, primary_key=True),
        Column("value", Double, nullable=False),
    ],
    "counters": [Column("name", Words, primary_key=True), Column("value", BigInteger, nullable=False)],
    "state": [Column("key", Words, primary_key=True), Column("raw", LargeBinary, nullable=False)],
    "trained": [
        Column("number", Number, primary_key=True),
        Column("variant", Words, nullable=False),
        Column("wish", Words, nullable=False),
        Column("body", Words, nullable=False),
        Column("version", Words, nullable=False),
        Column("extras", Words, nullable=False),
    ],
    "ledger": [
        Column("seq", BigInteger, primary_key=True, autoincrement=False),
        Column("endpoint", Words, nullable=False),
        Column("kind", Words, nullable=False),
        Column("time", Double, nullable=False),
        Column("body", Words, nullable=False),
        Column("previous", Words, nullable=False),
        Column("hash", Words, nullable=False),
    ],
}
INDEXES: dict[str, tuple[str, list[str], bool]] = {
    "ix_rollouts_endpoint": ("rollouts", ["endpoint"], False),
    "exposures_key": ("exposures", ["id", "variant"], True),
    "exposures_by_time": ("exposures", ["endpoint", "time"], False),
    "exposures_by_closing": ("exposures", ["endpoint", "closed_seq"], False),
    "erased_by_closing": ("erased", ["endpoint", "closed_seq"], False),
    "ix_trained_variant": ("trained", ["variant"], False),
    "ix_trained_wish": ("trained", ["wish"], False),
    "ix_ledger_endpoint": ("ledger", ["endpoint"], False),
}
COUNTERS = ("closings", "ledger_entries", "feedback")


def upgrade() -> None:
    """Forwards: what is there stays."""
    bind = op.get_bind()
    inspect = sa.inspect(bind)
    known = set(inspect.get_table_names())
    for name, columns in TABLES.items():
        if name not in known:
            op.create_table(name, *(column.copy() for column in columns))
    if "exposures" in known and "slices" not in {one["name"] for one in inspect.get_columns("exposures")}:
        op.add_column("exposures", Column("slices", Words, nullable=False, server_default="[]"))
    for name, (table, keys, unique) in INDEXES.items():
        op.create_index(name, table, keys, unique=unique, if_not_exists=True)
    counters = sa.table("counters", sa.column("name"), sa.column("value"))
    there = set(bind.execute(sa.select(counters.c.name)).scalars())
    op.bulk_insert(counters, [{"name": name, "value": 0} for name in COUNTERS if name not in there])
    version = sa.table("schema_version", sa.column("version"))
    if bind.execute(sa.select(version.c.version)).first() is None:
        op.bulk_insert(version, [{"version": 1}])


def downgrade() -> None:
    """There was nothing before."""
    raise NotImplementedError
