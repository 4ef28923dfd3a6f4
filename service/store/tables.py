"""The store's tables, the same on SQLite and PostgreSQL. Times are microseconds since 1970 UTC.

These are the names and types that queries are made of. The tables themselves are made and changed by the scripts in
`migrations/`, and a test compares the two. A schema may only be added to: columns that an older Gauntlet does not know
have a default in the database, and ours carry in `info` since which schema they are there and what a row without them
means. So the Gauntlet of schema N runs on N-1 and on N+1 (`migrating.py` says how).
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    false,
    text,
)

SCHEMA_VERSION = 3
"""The schema that this Gauntlet is written for: the number of the last script in `migrations/`."""

metadata = MetaData()

# PostgreSQL would order ids by the database's language; the ledger's digests need one order everywhere, and so do the
# partitions, whose bounds are ids: a UUIDv7 in lower case sorts by its time.
_Id = String().with_variant(String(collation="C"), "postgresql")
_Micros = BigInteger()
# SQLite numbers rows by itself only in an INTEGER primary key.
_Number = BigInteger().with_variant(Integer, "sqlite")


def _added(since: int, name: str, kind: Any, *, absent: Any = None, default: Any = None) -> Column[Any]:
    """A column that schemas before `since` lack; a row without it means what `absent` says."""
    info = {"since": since, "absent": absent}
    return Column(name, kind, nullable=absent is None, server_default=default, info=info)


# What the Gauntlet of schema 1 looks at. It runs on schema 2, so that is still 1; a schema that is too much for it
# raises the number.
schema_version = Table("schema_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))

predictions = Table(
    "predictions",
    metadata,
    Column("prediction_id", _Id, primary_key=True),
    Column("at", _Micros, nullable=False),
    Column("customer_id", _Id),
    Column("purpose", String, nullable=False),
    Column("experiment", String, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("mode", String, nullable=False),
    Column("split", Double, nullable=False),
    Column("variant", String, nullable=False),
    Column("champion", String, nullable=False),
    Column("challenger", String),
    Column("champion_probability", Double),
    Column("challenger_probability", Double),
    Column("champion_positive", Boolean),
    Column("challenger_positive", Boolean),
    Column("features", Text, nullable=False),  # JSON
    Column("landed_at", _Micros, nullable=False),  # by the shipper's clock; only the count of late rows reads it
    _added(2, "enrolment", String, absent="enrolled", default="enrolled"),
    _added(2, "no_treatment", Boolean, absent=False, default=false()),
    _added(2, "latency_us", BigInteger),
    _added(2, "request_id", String),
    _added(2, "trace_id", String),
    _added(2, "client", String),
    _added(3, "champion_us", BigInteger),
    _added(3, "challenger_us", BigInteger),
    postgresql_partition_by="RANGE (prediction_id)",
)
Index("predictions_by_time", predictions.c.experiment, predictions.c.at)
# The customer first: two ids differ early, two rows of one experiment do not, and people are looked for by id alone.
Index("predictions_by_customer", predictions.c.customer_id, predictions.c.experiment, predictions.c.at)

LONG_UNDER_WAY = 3_600_000_000
"""An hour in microseconds: a prediction that took longer to land stands in an index of its own, almost empty, in which
the late ones are found."""

is_long_under_way = predictions.c.landed_at - predictions.c.at > text(str(LONG_UNDER_WAY))
"""The condition of that index; a query uses it where it says the same."""

Index(
    "predictions_long_under_way",
    predictions.c.experiment,
    predictions.c.at,
    postgresql_where=is_long_under_way,
    sqlite_where=is_long_under_way,
)

# Every truth that was told is kept; which one counts depends on the moment from which one looks.
outcomes = Table(
    "outcomes",
    metadata,
    Column("prediction_id", _Id, nullable=False),
    Column("observed_at", _Micros, nullable=False),
    Column("received_at", _Micros, nullable=False),
    Column("positive", Boolean, nullable=False),
    Column("landed_at", _Micros, nullable=False),
    PrimaryKeyConstraint("prediction_id", "observed_at", "received_at", "positive"),
    Index("outcomes_by_landing", "landed_at", "prediction_id"),
    postgresql_partition_by="RANGE (prediction_id)",
)

# The same action at the same time is the same treatment, whenever and however often it is told.
treatments = Table(
    "treatments",
    metadata,
    Column("prediction_id", _Id, nullable=False),
    Column("action", _Id, nullable=False),
    Column("taken_at", _Micros, nullable=False),
    Column("received_at", _Micros, nullable=False),
    Column("landed_at", _Micros, nullable=False),
    PrimaryKeyConstraint("prediction_id", "action", "taken_at"),
    info={"since": 2},
    postgresql_partition_by="RANGE (prediction_id)",
)

# How far each spool has been shipped. Every record made before the watermark is in the store.
spools = Table(
    "spools",
    metadata,
    Column("worker", String, primary_key=True),
    Column("spool_id", String, nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("watermark", _Micros, nullable=False),
    Column("lost_at", _Micros),  # given up by an audited entry: it no longer keeps cohorts open
    _added(2, "mark", BigInteger),  # a checksum of the bytes before the offset: is it still the same segment?
)

# Lines that are no record, where the file beside the segments could not be written.
dead_letters = Table(
    "dead_letters",
    metadata,
    Column("worker", String, nullable=False),
    Column("spool_id", String, nullable=False),
    Column("segment", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("line", LargeBinary, nullable=False),
    Column("landed_at", _Micros, nullable=False),
    PrimaryKeyConstraint("worker", "spool_id", "segment", "offset"),
    info={"since": 2},
)

# Who was forgotten, by an HMAC of the customer's id: the id itself stands nowhere. Shippers drop what was made before.
tombstones = Table(
    "tombstones",
    metadata,
    Column("customer", String, primary_key=True),
    Column("key", String, nullable=False),  # which key made it: the beginning of the key's own digest
    Column("forgotten_at", _Micros, nullable=False),
    info={"since": 2},
)

# The ledger. Rows are added and never changed.
cohorts = Table(
    "cohorts",
    metadata,
    Column("experiment", String, nullable=False),
    Column("start", _Micros, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("mode", String, nullable=False),
    Column("split", Double, nullable=False),
    Column("end", _Micros, nullable=False),
    Column("policy", String, nullable=False),
    Column("closed_at", _Micros, nullable=False),
    *(
        Column(name, BigInteger, nullable=False)
        for name in (
            "n",
            "ties",
            "ties_right",
            "wins_positive",
            "wins_negative",
            "losses_positive",
            "losses_negative",
            "missing_agreements",
            "missing_challenger_positive",
            "missing_champion_positive",
            "unscored",
            "answered_champion",
            "answered_challenger",
        )
    ),
    Column("rows_digest", String, nullable=False),
    _added(3, "treated", BigInteger, absent=0, default=text("0")),
    _added(3, "spoiled", BigInteger, absent=0, default=text("0")),
    # JSON of counts, each None where the policy asks for none or an older Gauntlet closed the cohort.
    _added(3, "outside", Text),  # pairs of customers whom actions may reach, where actions follow predictions
    _added(3, "arms", Text),  # outcomes by the variant that answered
    _added(3, "groups", Text),  # pairs by attribute and value
    PrimaryKeyConstraint("experiment", "start", "revision", "mode", "split"),
)

# Up to where an experiment's cohorts are closed, the empty ones too.
closings = Table(
    "closings",
    metadata,
    Column("experiment", String, primary_key=True),
    Column("closed_through", _Micros, nullable=False),
    Column("closed_at", _Micros, nullable=False),
)

# The rules that cohorts were closed and verdicts reached under, by their digest: a verdict can be reached again.
policies = Table(
    "policies",
    metadata,
    Column("digest", String, primary_key=True),
    Column("at", _Micros, nullable=False),
    Column("content", Text, nullable=False),  # JSON of the whole policy
    info={"since": 3},
)

# Every trial of a lineage (the models of one registered name), numbered at its start: what earlier ones have spent of
# the chance of a false promotion, and of the margin, later ones cannot spend. Rows are added; an ending fills the rest.
trials = Table(
    "trials",
    metadata,
    Column("lineage", String, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("experiment", String, nullable=False),
    Column("champion", String, nullable=False),
    Column("challenger", String, nullable=False),
    Column("first_seen_at", _Micros, nullable=False),
    Column("ended_at", _Micros),
    Column("ending", String),  # promoted, rolled_back, abandoned
    Column("margin_spent", Double),  # by a promotion
    Column("anchor", String),  # digest, where a promotion made its challenger the anchor
    Column("audit", BigInteger),  # the row that says who ended it
    PrimaryKeyConstraint("lineage", "number"),
    Index("trials_by_experiment", "experiment", unique=True),
    Index("trials_by_models", "champion", "challenger"),
    info={"since": 3},
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("number", _Number, primary_key=True),
    Column("experiment", String, nullable=False),
    Column("at", _Micros, nullable=False),
    Column("verdict", String, nullable=False),
    Column("content", Text, nullable=False),  # JSON of the whole verdict
    Index("verdicts_by_experiment", "experiment", "number"),
)

# Who changed roles, when and on which verdict. Rows are added; only `aliases` moves on, from pending to its end.
audit = Table(
    "audit",
    metadata,
    Column("number", _Number, primary_key=True),
    Column("at", _Micros, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),  # promote, rollback, bootstrap, spool_lost
    Column("subject", String, nullable=False),  # the registered model, or the spool
    Column("champion", String),
    Column("challenger", String),
    Column("revision_before", BigInteger),
    Column("revision_after", BigInteger),
    Column("verdict", String),
    Column("evidence", Text),  # JSON of the whole verdict
    Column("manual", Boolean, nullable=False),
    Column("reason", Text),
    Column("as_of", _Micros),
    Column("provisional", Boolean, nullable=False),
    Column("aliases", String, nullable=False),  # pending, moved, none (nothing to move), void (the file never changed)
    Column("note", Text),
)

# Who let rows leave, forgot a person or drained a spool. Not in `audit`: its older readers know changes of roles alone.
upkeep = Table(
    "upkeep",
    metadata,
    Column("number", _Number, primary_key=True),
    Column("at", _Micros, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),  # retain, forget, drain
    Column("subject", String, nullable=False),  # the month, the tombstone, the spool
    Column("content", Text, nullable=False),  # JSON: counts and places
    info={"since": 2},
)
