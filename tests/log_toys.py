"""A prediction log with a past: records whose ids tell when they were made, shipped to a store, and what left it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from service.ids import make_id
from service.micros import to_micros
from service.prediction_log.forgetting import Places
from service.prediction_log.records import Outcome, Prediction, Record, Treatment
from service.prediction_log.shipper import ship
from service.prediction_log.spool import Spool
from service.store import Store, tables

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ME = "customer-no-7590"
OLD = NOW - 100 * DAY
"""In March 2026; with 60 days all of March, and April up to the 21st, have left."""


def id_of(number: int, at: datetime) -> str:
    return make_id(to_micros(at), (4 * number).to_bytes(8, "big"))


def prediction(number: int, at: datetime = OLD, **changes: Any) -> Prediction:
    fields = {
        "prediction_id": id_of(number, at),
        "at": to_micros(at),
        "customer_id": f"customer-{number}",
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


def outcome(number: int, at: datetime = OLD, **changes: Any) -> Outcome:
    seen = to_micros(at + DAY)
    fields = {"prediction_id": id_of(number, at), "positive": True, "observed_at": seen, "received_at": seen}
    return Outcome(**{**fields, **changes})


def treatment(number: int, at: datetime = OLD, **changes: Any) -> Treatment:
    taken = to_micros(at + DAY)
    fields = {"prediction_id": id_of(number, at), "action": "call", "taken_at": taken, "received_at": taken}
    return Treatment(**{**fields, **changes})


def all_about(number: int, at: datetime = OLD, **changes: Any) -> list[Record]:
    """A prediction, its outcome and its treatment."""
    return [prediction(number, at, **changes), outcome(number, at), treatment(number, at)]


def land(store: Store, place: Path, *records: Record, worker: str = "w") -> None:
    """Put records into the store the way that all come."""
    spool = Spool(place / "spool", worker)
    spool.append_all(records)
    spool.close()
    ship(place / "spool", store)


def places(place: Path) -> Places:
    return Places(spools=place / "spool", archives=(place / "archive",), key_file=place / "tombstone.key")


def in_store(store: Store) -> dict[str, list[str]]:
    """By table the prediction ids of its rows, sorted."""
    found = {}
    with store.reading() as connection:
        for table in (tables.predictions, tables.outcomes, tables.treatments):
            ids = sa.select(table.c.prediction_id).order_by(table.c.prediction_id)
            found[table.name] = list(connection.execute(ids).scalars())
    return found


def in_archive(archive: Path) -> dict[str, list[str]]:
    """By table the prediction ids that its files hold, in their order."""
    found: dict[str, list[str]] = {"predictions": [], "outcomes": [], "treatments": []}
    for path in sorted(archive.glob("*.parquet")):
        found[path.name.split("-")[0]] += pq.read_table(path)["prediction_id"].to_pylist()
    return found


def bytes_under(place: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
