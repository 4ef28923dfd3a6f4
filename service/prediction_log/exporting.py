"""Printing the prediction log as the store holds it: one row a prediction, with its truth and what was done about it.

The predictions come ordered by id, as they stood at one moment, some thousand at a time, so that memory stays the same
however many there are. What was forgotten or has left by age is not in the store, and so not here.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from bentos.errors import InvalidSetting
from service.micros import from_micros, to_micros
from service.prediction_log.ages import id_at
from service.prediction_log.segments import sync_folder
from service.store import Store, tables

Format = Literal["jsonl", "parquet"]

PAGE_ROWS = 5_000
"""Predictions that are read, and whose truths and treatments are looked up, at a time."""

_IDS_APART = timedelta(hours=25)  # a client's own id may be 24 hours older than the prediction
_LAST_MICRO = to_micros(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which predictions are printed, and from which moment their truth is read.

    Attributes:
        as_of: Only what was observed by then is true: the judge reads it so. Microseconds since 1970 UTC.
        since: Predictions made then or later.
        until: Predictions made before.
        experiment: Of this experiment alone.
    """

    as_of: int
    since: datetime | None = None
    until: datetime | None = None
    experiment: str | None = None


class Treated(msgspec.Struct, frozen=True):
    """An action taken because of a prediction.

    Attributes:
        action: What was done.
        taken_at: When.
    """

    action: str
    taken_at: datetime


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One prediction as it is printed: the record's own fields, then what became of it.

    Attributes:
        prediction_id: UUIDv7.
        at: When it was answered.
        features: The row as it was sent, JSON.
        truth: Whether the positive label came true: the outcome that was observed, then received, last. None: untold.
        observed_at: When that was seen.
        outcomes: How many outcomes were told, whenever they were observed.
        treatments: What was done, by time.
    """

    prediction_id: str
    at: datetime
    customer_id: str | None
    purpose: str
    experiment: str
    revision: int
    mode: str
    split: float
    variant: str
    champion: str
    challenger: str | None
    champion_probability: float | None
    challenger_probability: float | None
    champion_positive: bool | None
    challenger_positive: bool | None
    features: msgspec.Raw
    enrolment: str
    no_treatment: bool
    latency_us: int | None
    request_id: str | None
    trace_id: str | None
    client: str | None
    champion_us: int | None
    challenger_us: int | None
    truth: bool | None
    observed_at: datetime | None
    outcomes: int
    treatments: list[Treated]


_STORED = Line.__struct_fields__[: Line.__struct_fields__.index("truth")]


def export_jsonl(store: Store, wanted: Wanted, file: IO[bytes]) -> int:
    """Write a JSON object a prediction, one a line; gives how many.

    Raises:
        Unavailable: The store does not answer.
        OSError: The file takes no more.
    """
    encoder, buffer, count = msgspec.json.Encoder(), bytearray(), 0
    for lines in _pages(store, wanted):
        buffer.clear()
        for line in lines:
            encoder.encode_into(line, buffer, len(buffer))
            buffer += b"\n"
        file.write(buffer)
        count += len(lines)
    return count


def export_file(store: Store, wanted: Wanted, path: Path, kind: Format) -> int:
    """Write a file beside its place, which it takes once it is whole; gives how many predictions it holds.

    Raises:
        InvalidSetting: Its folder is not there.
        Unavailable: The store does not answer.
        OSError: It cannot be written.
    """
    if not path.parent.is_dir() or path.is_dir():
        raise InvalidSetting(f"--output is {path}; it must be a file's name in a folder that is there")
    write: Callable[[Store, Wanted, IO[bytes]], int] = export_jsonl if kind == "jsonl" else _export_parquet
    with _beside(path) as file:
        return write(store, wanted, file)


def _export_parquet(store: Store, wanted: Wanted, file: IO[bytes]) -> int:
    import pyarrow as pa  # only who asks for Parquet needs it
    import pyarrow.parquet as pq

    schema, count = _parquet_schema(pa), 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for lines in _pages(store, wanted):
            rows = [{**msgspec.structs.asdict(line), "features": bytes(line.features).decode()} for line in lines]
            for row in rows:
                row["treatments"] = [msgspec.structs.asdict(one) for one in row["treatments"]]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def _parquet_schema(pa: Any) -> Any:
    moment = pa.timestamp("us", tz="UTC")
    treated = pa.struct([pa.field("action", pa.string()), pa.field("taken_at", moment)])
    kinds = {
        str: pa.string(),
        int: pa.int64(),
        float: pa.float64(),
        bool: pa.bool_(),
        datetime: moment,
        msgspec.Raw: pa.string(),  # JSON
        list[Treated]: pa.list_(treated),
    }
    fields = []
    for field in msgspec.structs.fields(Line):
        options = getattr(field.type, "__args__", ())
        is_optional = type(None) in options
        kind = next(option for option in options if option is not type(None)) if is_optional else field.type
        fields.append(pa.field(field.name, kinds[kind], nullable=is_optional))
    return pa.schema(fields)


def _pages(store: Store, wanted: Wanted) -> Iterator[list[Line]]:
    with store.reading() as connection:
        found = connection.execute(_predictions(wanted).execution_options(yield_per=PAGE_ROWS))
        for rows in found.mappings().partitions():
            ids = [row["prediction_id"] for row in rows]
            truths = _truths(connection, ids, wanted.as_of)
            treatments = _treatments(connection, store, ids)
            yield [_line(row, truths, treatments) for row in rows]


def _predictions(wanted: Wanted) -> sa.Select[Any]:
    p = tables.predictions
    query = sa.select(*(p.c[name] for name in _STORED)).order_by(p.c.prediction_id)
    if wanted.since is not None:
        # The second condition says the same of the key, by which PostgreSQL finds the months.
        query = query.where(p.c.at >= to_micros(wanted.since), p.c.prediction_id >= id_at(wanted.since - _IDS_APART))
    if wanted.until is not None:
        query = query.where(p.c.at < to_micros(wanted.until))
    if wanted.experiment is not None:
        query = query.where(p.c.experiment == wanted.experiment)
    return query


def _truths(connection: Connection, ids: Sequence[str], as_of: int) -> dict[str, tuple[int, bool | None, int | None]]:
    """By prediction how many outcomes were told, which one counts, and when that was observed."""
    o = tables.outcomes
    told = sa.select(o.c.prediction_id, o.c.observed_at, o.c.positive).where(o.c.prediction_id.in_(ids))
    found: dict[str, tuple[int, bool | None, int | None]] = {}
    for one, observed_at, positive in connection.execute(
        told.order_by(o.c.observed_at, o.c.received_at, o.c.positive)  # the last one wins, as in the judge's query
    ):
        count, truth, seen = found.get(one, (0, None, None))
        found[one] = (count + 1, positive, observed_at) if observed_at <= as_of else (count + 1, truth, seen)
    return found


def _treatments(connection: Connection, store: Store, ids: Sequence[str]) -> dict[str, list[Treated]]:
    table = tables.treatments
    found: dict[str, list[Treated]] = defaultdict(list)
    if store.has(table):
        taken = sa.select(table.c.prediction_id, table.c.action, table.c.taken_at).where(table.c.prediction_id.in_(ids))
        for one, action, taken_at in connection.execute(taken.order_by(table.c.taken_at, table.c.action)):
            found[one].append(Treated(action, _moment(taken_at)))
    return found


def _line(
    row: Any, truths: dict[str, tuple[int, bool | None, int | None]], treatments: dict[str, list[Treated]]
) -> Line:
    values = dict(row)
    outcomes, truth, observed_at = truths.get(row["prediction_id"], (0, None, None))
    values |= {"at": _moment(row["at"]), "features": msgspec.Raw(row["features"].encode())}
    return Line(
        **values,
        truth=truth,
        observed_at=None if observed_at is None else _moment(observed_at),
        outcomes=outcomes,
        treatments=treatments.get(row["prediction_id"], []),
    )


def _moment(micros: int) -> datetime:
    """A moment; what no calendar reaches is the last one that it does."""
    return from_micros(min(micros, _LAST_MICRO))


@contextmanager
def _beside(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its place when the block ends without an error, and is gone otherwise."""
    growing = path.with_name(f".{path.name}.partial")
    try:
        with growing.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        growing.replace(path)
        sync_folder(path.parent)
    finally:
        growing.unlink(missing_ok=True)
