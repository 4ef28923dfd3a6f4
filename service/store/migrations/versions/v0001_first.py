"""Schema 1: the prediction log, the ledger, verdicts and audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.String().with_variant(sa.String(collation="C"), "postgresql")
_MICROS = sa.BigInteger()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_COUNTS = (
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


def upgrade() -> None:
    """Make every table."""
    version = op.create_table("schema_version", sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
    op.bulk_insert(version, [{"version": 1}])
    _make_predictions()
    _make_outcomes_and_spools()
    _make_ledger()
    _make_verdicts()
    _make_audit()


def _make_predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("prediction_id", _ID, primary_key=True),
        sa.Column("at", _MICROS, nullable=False),
        sa.Column("customer_id", _ID),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("split", sa.Double, nullable=False),
        sa.Column("variant", sa.String, nullable=False),
        sa.Column("champion", sa.String, nullable=False),
        sa.Column("challenger", sa.String),
        sa.Column("champion_probability", sa.Double),
        sa.Column("challenger_probability", sa.Double),
        sa.Column("champion_positive", sa.Boolean),
        sa.Column("challenger_positive", sa.Boolean),
        sa.Column("features", sa.Text, nullable=False),
        sa.Column("landed_at", _MICROS, nullable=False),
    )
    op.create_index("predictions_by_time", "predictions", ["experiment", "at"])
    by_customer = ["experiment", "customer_id", "at", "prediction_id"]
    op.create_index("predictions_by_customer", "predictions", by_customer)


def _make_outcomes_and_spools() -> None:
    op.create_table(
        "outcomes",
        sa.Column("prediction_id", _ID, nullable=False),
        sa.Column("observed_at", _MICROS, nullable=False),
        sa.Column("received_at", _MICROS, nullable=False),
        sa.Column("positive", sa.Boolean, nullable=False),
        sa.Column("landed_at", _MICROS, nullable=False),
        sa.PrimaryKeyConstraint("prediction_id", "observed_at", "received_at", "positive"),
    )
    op.create_index("outcomes_by_landing", "outcomes", ["landed_at"])
    op.create_table(
        "spools",
        sa.Column("worker", sa.String, primary_key=True),
        sa.Column("spool_id", sa.String, nullable=False),
        sa.Column("segment", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("watermark", _MICROS, nullable=False),
        sa.Column("lost_at", _MICROS),
    )


def _make_ledger() -> None:
    op.create_table(
        "cohorts",
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("start", _MICROS, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("mode", sa.String, nullable=False),
        sa.Column("split", sa.Double, nullable=False),
        sa.Column("end", _MICROS, nullable=False),
        sa.Column("policy", sa.String, nullable=False),
        sa.Column("closed_at", _MICROS, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in _COUNTS),
        sa.Column("rows_digest", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("experiment", "start", "revision", "mode", "split"),
    )
    op.create_table(
        "closings",
        sa.Column("experiment", sa.String, primary_key=True),
        sa.Column("closed_through", _MICROS, nullable=False),
        sa.Column("closed_at", _MICROS, nullable=False),
    )


def _make_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("at", _MICROS, nullable=False),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_index("verdicts_by_experiment", "verdicts", ["experiment", "number"])


def _make_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("number", _NUMBER, primary_key=True),
        sa.Column("at", _MICROS, nullable=False),
        sa.Column("who", sa.String, nullable=False),
        sa.Column("action", sa.String, nullable=False),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("champion", sa.String),
        sa.Column("challenger", sa.String),
        sa.Column("revision_before", sa.BigInteger),
        sa.Column("revision_after", sa.BigInteger),
        sa.Column("verdict", sa.String),
        sa.Column("evidence", sa.Text),
        sa.Column("manual", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("as_of", _MICROS),
        sa.Column("provisional", sa.Boolean, nullable=False),
        sa.Column("aliases", sa.String, nullable=False),
        sa.Column("note", sa.Text),
    )
