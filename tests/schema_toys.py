"""Pieces for tests of the store's schema, on any database."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from service.store.migrating import VERSION_TABLE


def schema_of(connection: sa.Connection) -> dict[str, Any]:
    """Columns, keys and indexes of every table of ours, as the database says; partitions left out."""
    inspector = sa.inspect(connection)
    names = [name for name in inspector.get_table_names() if name != VERSION_TABLE and not is_partition(name)]
    return {name: _table_of(inspector, name) for name in names}


def is_partition(name: str) -> bool:
    return name.endswith("_default") or name[-7:-3].isdigit()


def _table_of(inspector: sa.Inspector, name: str) -> dict[str, Any]:
    return {
        "columns": {
            column["name"]: (str(column["type"]), column["nullable"], str(column["default"]).strip("'").split("'::")[0])
            for column in inspector.get_columns(name)
        },
        "key": inspector.get_pk_constraint(name)["constrained_columns"],
        "indexes": {index["name"]: index["column_names"] for index in inspector.get_indexes(name)},
    }


def earlier_row(prediction_id: str, **changes: Any) -> dict[str, Any]:
    """A prediction as the Gauntlet of schema 1 inserted it."""
    return {
        "prediction_id": prediction_id,
        "at": 1,
        "customer_id": "c",
        "purpose": "live",
        "experiment": "e",
        "revision": 2,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": "sha256:a",
        "challenger": "sha256:b",
        "champion_probability": 0.5,
        "challenger_probability": 0.5,
        "champion_positive": True,
        "challenger_positive": False,
        "features": "{}",
        "landed_at": 3,
    } | changes


def add_a_schema(engine: sa.Engine, version: int) -> None:
    """What a newer Gauntlet's script may do: add a column with a default, and a table."""
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE predictions ADD COLUMN colour varchar NOT NULL DEFAULT 'blue'"))
        connection.execute(sa.text("CREATE TABLE novelties (number integer PRIMARY KEY)"))
        connection.execute(sa.text(f"UPDATE {VERSION_TABLE} SET version_num = '{version:04d}'"))
    engine.dispose()
