"""Schema 3: what each model took, cohorts by treatment, arm and group, policies by digest, and trials by lineage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_MICROS = sa.BigInteger()


def upgrade() -> None:
    """Add what is new; no row moves."""
    for name in ("champion_us", "challenger_us"):
        op.add_column("predictions", sa.Column(name, sa.BigInteger))
    for name in ("treated", "spoiled"):
        op.add_column("cohorts", sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0")))
    for name in ("outside", "arms", "groups"):
        op.add_column("cohorts", sa.Column(name, sa.Text))
    op.create_table(
        "policies",
        sa.Column("digest", sa.String, primary_key=True),
        sa.Column("at", _MICROS, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    _make_trials()


def _make_trials() -> None:
    op.create_table(
        "trials",
        sa.Column("lineage", sa.String, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("experiment", sa.String, nullable=False),
        sa.Column("champion", sa.String, nullable=False),
        sa.Column("challenger", sa.String, nullable=False),
        sa.Column("first_seen_at", _MICROS, nullable=False),
        sa.Column("ended_at", _MICROS),
        sa.Column("ending", sa.String),
        sa.Column("margin_spent", sa.Double),
        sa.Column("anchor", sa.String),
        sa.Column("audit", sa.BigInteger),
        sa.PrimaryKeyConstraint("lineage", "number"),
    )
    op.create_index("trials_by_experiment", "trials", ["experiment"], unique=True)
    op.create_index("trials_by_models", "trials", ["champion", "challenger"])
