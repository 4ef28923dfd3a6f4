"""Schema 2: what records of version 2 hold, treatments, dead letters, upkeep; on PostgreSQL partitions by month.

On SQLite columns are added where the rows stand. On PostgreSQL a table cannot be given partitions, so predictions and
outcomes are copied into new tables of the same names; shippers wait meanwhile, and what they ship waits in its spools.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from service.store.partitions import make_default, make_partition, months_of

revision = "0002"
down_revision = "0001"

_ID = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_MICROS = sa.BigInteger()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_LONG_UNDER_WAY = sa.text("landed_at - at > 3600000000")


def upgrade() -> None:
    """Add what is new, and on PostgreSQL move predictions and outcomes into partitions."""
    for column in _new_columns():
        op.add_column("predictions", column)
    op.add_column("spools", sa.Column("mark", sa.BigInteger))
    _make_dead_letters()
    _make_tombstones_and_upkeep()
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    op.drop_index("predictions_by_customer", "predictions")
    op.drop_index("outcomes_by_landing", "outcomes")
    if is_postgresql:
        op.drop_index("predictions_by_time", "predictions")
        _move_into_partitions("predictions", "prediction_id")
        _move_into_partitions("outcomes", "prediction_id, observed_at, received_at, positive")
        op.create_index("predictions_by_time", "predictions", ["experiment", "at"])
    op.create_index("outcomes_by_landing", "outcomes", ["landed_at", "prediction_id"])
    op.create_index("predictions_by_customer", "predictions", ["customer_id", "experiment", "at"])
    op.create_index(
        "predictions_long_under_way",
        "predictions",
        ["experiment", "at"],
        postgresql_where=_LONG_UNDER_WAY,
        sqlite_where=_LONG_UNDER_WAY,
    )
    _make_treatments()
    if is_postgresql:
        make_default(op.get_bind(), "treatments")


def _new_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("enrolment", sa.String, nullable=False, server_default="enrolled"),
        sa.Column("no_treatment", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("latency_us", sa.BigInteger),
        sa.Column("request_id", sa.String),
        sa.Column("trace_id", sa.String),
        sa.Column("client", sa.String),
    ]


def _make_dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("worker", sa.String, nullable=False),
        sa.Column("spool_id", sa.String, nullable=False),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("line", sa.LargeBinary, nullable=False),
        sa.Column("landed_at", _MICROS, nullable=False),
        sa.PrimaryKeyConstraint("worker", "spool_id", "segment", "offset"),
    )


def _make_tombstones_and_upkeep() -> None:
    op.create_table(
        "tombstones",
        sa.Column("customer", sa.String, primary_key=True),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("forgotten_at", _MICROS, nullable=False),
    )
    op.create_table(
        "upkeep",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("at", _MICROS, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )


def _make_treatments() -> None:
    op.create_table(
        "treatments",
        sa.Column("prediction_id", _ID, nullable=False),
        sa.Column("action", _ID, nullable=False),
        sa.Column("taken_at", _MICROS, nullable=False),
        sa.Column("received_at", _MICROS, nullable=False),
        sa.Column("landed_at", _MICROS, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", "action", "taken_at"),
        postgresql_partition_by="RANGE (prediction_id)",
    )


def _move_into_partitions(table: str, key: str) -> None:
    """Make the table anew in partitions, with every month that its rows need, and copy them."""
    connection, old = op.get_bind(), f"{table}_of_schema_1"
    op.rename_table(table, old)
    op.execute(f"ALTER TABLE {old} RENAME CONSTRAINT {table}_pkey TO {old}_pkey")
    op.execute(f"CREATE TABLE {table} (LIKE {old} INCLUDING DEFAULTS) PARTITION BY RANGE (prediction_id)")
    make_default(connection, table)
    beginnings = connection.exec_driver_sql(f"SELECT DISTINCT left(prediction_id, 8) FROM {old}").scalars()  # noqa: S608
    for month in sorted(months_of(beginnings, now=datetime.now(UTC))):
        make_partition(connection, table, month)
    op.execute(f"INSERT INTO {table} SELECT * FROM {old}")  # noqa: S608
    op.drop_table(old)
    op.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({key})")
