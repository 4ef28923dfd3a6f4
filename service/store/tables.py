"""The store's tables, the same on SQLite and PostgreSQL. Times are microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

SCHEMA_VERSION = 1

metadata = MetaData()

# PostgreSQL would order ids by the database's language; the ledger's digests need one order everywhere.
_Id = String().with_variant(String(collation="C"), "postgresql")
_Micros = BigInteger()
# SQLite numbers rows by itself only in an INTEGER primary key.
_Number = BigInteger().with_variant(Integer, "sqlite")

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
    Index("predictions_by_time", "experiment", "at"),
    Index("predictions_by_customer", "experiment", "customer_id", "at", "prediction_id"),
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
    Index("outcomes_by_landing", "landed_at"),
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
