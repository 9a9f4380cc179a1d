"""The store's tables, the same on SQLite and on PostgreSQL, and its revisions.

Values are kept as JSON in text where they are read whole, and as columns where they are searched. Whoever changes a
table here writes the revision that brings stores of the day before to it (``migrations/versions``); a test compares.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, Text

REVISIONS = ("0001", "0002")  # oldest first; those of migrations/versions, known without importing Alembic
HEAD = REVISIONS[-1]
GUARD = 2  # schema_version of a store that has revisions

# SQLite numbers rows by itself only where the key is INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")
# Text is compared by its code points, as SQLite and Python do; PostgreSQL would follow the language of its database.
Words = Text().with_variant(Text(collation="C"), "postgresql")

metadata = sa.MetaData()

# What a rivals from before revisions looks at: it refuses a store that has another version than 1.
schema_version = sa.Table("schema_version", metadata, Column("version", Integer, primary_key=True))

routing_tables = sa.Table(
    "routing_tables",
    metadata,
    Column("endpoint", Words, primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("body", Words, nullable=False),
)

rollouts = sa.Table(
    "rollouts",
    metadata,
    Column("number", Number, primary_key=True),
    Column("id", Words, nullable=False, unique=True),
    Column("endpoint", Words, nullable=False, index=True),
    Column("final", Boolean, nullable=False),
    Column("body", Words, nullable=False),
)

exposures = sa.Table(
    "exposures",
    metadata,
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
    Column("closed_seq", BigInteger),  # in the order of closing; null while open
    Index("exposures_key", "id", "variant", unique=True),
    Index("exposures_by_time", "endpoint", "time"),
    Index("exposures_by_closing", "endpoint", "closed_seq"),
)

feedback = sa.Table(
    "feedback",
    metadata,
    Column("id", Words, primary_key=True),
    Column("label", Words),  # JSON; null: none was given
    Column("reward", Double),
    Column("time", Double, nullable=False),
)

# Labels and rewards that were told differently about one id: it has none of that kind.
contradictions = sa.Table(
    "contradictions", metadata, Column("id", Words, primary_key=True), Column("kind", Words, primary_key=True)
)

# Labels and rewards about all exposures of a unit in the time [start, end); each that was ever told, once.
windows = sa.Table(
    "windows",
    metadata,
    Column("unit", Words, primary_key=True),
    Column("start", Double, primary_key=True),
    Column("end", Double, primary_key=True),
    Column("kind", Words, primary_key=True),
    Column("value", Words, primary_key=True),  # JSON
)

# What a row asked, where capture is wanted: as JSON, until the exposure goes to the archive.
inputs = sa.Table("inputs", metadata, Column("id", Words, primary_key=True), Column("body", Words, nullable=False))

# What is left of an erased exposure: its key, and the digest of what it was.
erased = sa.Table(
    "erased",
    metadata,
    Column("id", Words, primary_key=True),
    Column("variant", Words, primary_key=True),
    Column("endpoint", Words, nullable=False),
    Column("closed_seq", BigInteger),
    Column("digest", Words, nullable=False),
    Index("erased_by_closing", "endpoint", "closed_seq"),
)

# How far each journal file has been shipped.
cursors = sa.Table(
    "cursors", metadata, Column("source", Words, primary_key=True), Column("seq", BigInteger, nullable=False)
)

# What would be slow to count again: closed exposures by endpoint and variant.
tallies = sa.Table(
    "tallies",
    metadata,
    Column("endpoint", Words, primary_key=True),
    Column("variant", Words, primary_key=True),
    Column("name", Words, primary_key=True),
    Column("value", Double, nullable=False),
)

# Numbers given out in order. Whoever takes one holds its row until the commit, so order of numbers is order of commits.
counters = sa.Table(
    "counters", metadata, Column("name", Words, primary_key=True), Column("value", BigInteger, nullable=False)
)
CLOSINGS, ENTRIES, TURN = COUNTERS = "closings", "ledger_entries", "feedback"

state = sa.Table("state", metadata, Column("key", Words, primary_key=True), Column("raw", LargeBinary, nullable=False))

trained = sa.Table(
    "trained",
    metadata,
    Column("number", Number, primary_key=True),
    Column("variant", Words, nullable=False, index=True),
    Column("wish", Words, nullable=False, index=True),
    Column("body", Words, nullable=False),
    Column("version", Words, nullable=False),
    Column("extras", Words, nullable=False),
)

ledger = sa.Table(
    "ledger",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("endpoint", Words, nullable=False, index=True),
    Column("kind", Words, nullable=False),
    Column("time", Double, nullable=False),
    Column("body", Words, nullable=False),
    Column("previous", Words, nullable=False),
    Column("hash", Words, nullable=False),
)

revision = sa.Table("alembic_version", sa.MetaData(), Column("version_num", sa.String(32), primary_key=True))
