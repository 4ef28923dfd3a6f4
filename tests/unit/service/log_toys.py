"""A prediction log with a past: records whose ids tell when they were made, shipped to a store, and what left it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import shipping_toys

from service.ids import make_id
from service.micros import to_micros
from service.prediction_log.forgetting import Places
from service.prediction_log.records import Outcome, Prediction, Record, Treatment
from service.prediction_log.shipper import ship
from service.store import Store, tables

NOW = datetime(2026, 6, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
OLD = NOW - 100 * DAY
"""In March 2026; with 60 days all of March, and April up to the 21st, have left."""


def id_of(number: int, at: datetime) -> str:
    return make_id(to_micros(at), (4 * number).to_bytes(8, "big"))


def prediction(number: int, at: datetime = OLD, **changes: Any) -> Prediction:
    own = {"prediction_id": id_of(number, at), "at": to_micros(at), "customer_id": f"customer-{number}"}
    return shipping_toys.prediction(number, **{**own, **changes})


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
    shipping_toys.spooled(place / "spool", *records, worker=worker)
    ship(place / "spool", store)


def places(place: Path) -> Places:
    return Places(spools=place / "spool", archives=(place / "archive",), key_file=place / "tombstone.key")


def in_store(store: Store) -> dict[str, list[str]]:
    """By table the prediction ids of its rows, sorted."""
    held = (tables.predictions, tables.outcomes, tables.treatments)
    return {table.name: shipping_toys.ids(store, table) for table in held}


def in_archive(archive: Path) -> dict[str, list[str]]:
    """By table the prediction ids that its files hold, in their order."""
    found: dict[str, list[str]] = {"predictions": [], "outcomes": [], "treatments": []}
    for path in sorted(archive.glob("*.parquet")):
        found[path.name.split("-")[0]] += pq.read_table(path)["prediction_id"].to_pylist()
    return found


def bytes_under(place: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name."""
    return {str(path.relative_to(place)): path.read_bytes() for path in place.rglob("*") if path.is_file()}
