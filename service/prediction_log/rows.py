"""From lines of the spool to rows of the store, without looking at anything twice.

A line whose checksum fits is what `encode_line` wrote, so its features are passed on as the JSON text that they are,
which takes a third of the time of making objects of them and JSON of those. Any other line is read by `decode_line`,
which says what is wrong with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Union

import msgspec
import sqlalchemy as sa

from service.prediction_log.lines import BadLine, decode_line
from service.prediction_log.records import Outcome, Prediction, Record, Treatment
from service.prediction_log.tombstones import Forgotten
from service.store import tables
from service.store.loading import Row

Kind = type[Prediction | Outcome | Treatment]

TABLES: dict[Kind, sa.Table] = {
    Prediction: tables.predictions,
    Outcome: tables.outcomes,
    Treatment: tables.treatments,
}
"""Which record stands in which table."""

Decoded = tuple[Kind, Row] | None
"""A line's kind and row; None for a line that is no record."""

_TAIL = b',"crc":"%08x"}'
_TAIL_LENGTH = len(_TAIL % 0)


def columns_of(kind: Kind) -> tuple[str, ...]:
    """The columns that a row of this kind has values for, in their order."""
    return (*(field for field in kind.__struct_fields__ if field != "v"), "landed_at")


class Rows:
    """The rows of some lines, sorted by kind.

    Attributes:
        bad: The positions of lines that are no record.
        forgotten: How many predictions were left out because their customer was forgotten.
    """

    def __init__(self, decoded: Sequence[Decoded], forgotten: Forgotten | None = None) -> None:
        """Sort them.

        Args:
            decoded: What the lines say.
            forgotten: Whose predictions are left out.
        """
        self.bad: list[int] = []
        self.forgotten = 0
        self._forgotten = forgotten
        self._rows: dict[Kind, list[Row]] = {kind: [] for kind in TABLES}
        self._places: dict[Kind, list[int]] = {kind: [] for kind in TABLES}
        for place, found in enumerate(decoded):
            self._sort(place, found)

    def of(self, kind: Kind) -> list[Row]:
        """The rows of one kind, in their lines' order."""
        return self._rows[kind]

    def place(self, kind: Kind, number: int) -> int:
        """The position of the line from which a kind's row came."""
        return self._places[kind][number]

    def _sort(self, place: int, found: Decoded) -> None:
        if found is None:
            self.bad.append(place)
            return
        kind, row = found
        if self._forgotten is not None and kind is Prediction and self._forgotten.covers(row[_CUSTOMER], row[_AT]):
            self.forgotten += 1
            return
        self._rows[kind].append(row)
        self._places[kind].append(place)


def decode_lines(lines: Sequence[bytes], landed_at: int) -> list[Decoded]:
    """What each line says.

    Args:
        lines: Without their line feeds.
        landed_at: What the rows say of when they landed, microseconds since 1970 UTC.
    """
    return [_decoded(line, landed_at) for line in lines]


def _decoded(line: bytes, landed_at: int) -> Decoded:
    try:
        return row_of(line, landed_at)
    except BadLine:
        return None


def row_of(line: bytes, landed_at: int) -> tuple[Kind, Row]:
    """A line's kind, and its values as `columns_of` names them.

    Args:
        line: Without its line feed.
        landed_at: When it lands, microseconds since 1970 UTC.

    Raises:
        BadLine: It is no record, or its checksum is another.
    """
    if line[-_TAIL_LENGTH:] == _TAIL % zlib.crc32(line[:-_TAIL_LENGTH]):
        try:
            found = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as e:
            raise BadLine(str(e)) from e
    else:
        found = _as_raw(decode_line(line))
    kind: Kind = _KINDS[type(found)]
    values = msgspec.structs.astuple(found)  # `v` first
    if kind is not Prediction:
        return kind, (*values[1:], landed_at)
    return kind, (*values[1:_FEATURES], str(values[_FEATURES], "utf-8"), *values[_FEATURES + 1 :], landed_at)


def _raw_kind(kind: Kind) -> type[msgspec.Struct]:
    """The same record with `v` first, and with its features as the text that they are."""

    def changed(field: msgspec.structs.FieldInfo) -> tuple[str, Any, Any]:
        is_raw = kind is Prediction and field.name == "features"
        default = msgspec.NODEFAULT if field.required else field.default
        return field.name, msgspec.Raw if is_raw else field.type, default

    fields = [changed(field) for field in msgspec.structs.fields(kind)]
    tag = kind.__struct_config__.tag
    return msgspec.defstruct(kind.__name__, fields, tag_field="kind", tag=tag, kw_only=True, gc=False)


_RAW_KINDS = {kind: _raw_kind(kind) for kind in TABLES}
_KINDS = {raw: kind for kind, raw in _RAW_KINDS.items()}
_decode: Callable[[bytes], Any] = msgspec.json.Decoder(Union[tuple(_KINDS)]).decode  # noqa: UP007
_FEATURES = Prediction.__struct_fields__.index("features")
_AT, _CUSTOMER = columns_of(Prediction).index("at"), columns_of(Prediction).index("customer_id")


def _as_raw(record: Record) -> msgspec.Struct:
    values = {name: getattr(record, name) for name in record.__struct_fields__}
    if isinstance(record, Prediction):
        values["features"] = msgspec.json.encode(record.features)
    return _RAW_KINDS[type(record)](**values)
