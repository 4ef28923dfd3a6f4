"""Pieces to ship with: a spool in a temporary folder, a SQLite store, records that number themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from service.micros import to_micros
from service.prediction_log.records import Outcome, Prediction, Record, Treatment
from service.prediction_log.spool import Spool
from service.store import Store, tables

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def prediction(number: int, **changes: Any) -> Prediction:
    fields = {
        "prediction_id": f"p{number}",
        "at": to_micros(NOW) + number,
        "customer_id": f"c{number}",
        "purpose": "live",
        "experiment": "e",
        "revision": 2,
        "mode": "shadow",
        "split": 0.0,
        "variant": "champion",
        "champion": "sha256:a",
        "challenger": "sha256:b",
        "champion_probability": 0.25,
        "challenger_probability": None,
        "champion_positive": False,
        "challenger_positive": None,
        "features": {"tenure": 3.5, "Contract": "Month-to-month", "TotalCharges": None},
    }
    return Prediction(**{**fields, **changes})


def outcome(number: int, **changes: Any) -> Outcome:
    fields = {"prediction_id": f"p{number}", "positive": True, "observed_at": number, "received_at": number}
    return Outcome(**{**fields, **changes})


def treatment(number: int, **changes: Any) -> Treatment:
    fields = {"prediction_id": f"p{number}", "action": "call", "taken_at": number, "received_at": number}
    return Treatment(**{**fields, **changes})


def spooled(folder: Path, *records: Record, worker: str = "w", **options: Any) -> Path:
    """Write records to a spool, and end; gives the folder of spools."""
    spool = Spool(folder, worker, **options)
    for record in records:
        spool.append(record)
    spool.close()
    return folder


def rows(store: Store, table: sa.Table = tables.predictions) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(sa.select(table)).mappings())


def ids(store: Store, table: sa.Table = tables.predictions) -> list[str]:
    return sorted(row["prediction_id"] for row in rows(store, table))


def spool_row(store: Store, worker: str = "w") -> Any:
    return next(row for row in rows(store, tables.spools) if row["worker"] == worker)
