"""The rows of `POST /v1/score/batch`: decoded all at once where they are right, one by one where something is wrong.

One bad row costs the others only time. It becomes a `RefusedRow`, which is what the client is answered in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec

from bentos.artifact import Encoder
from bentos.errors import GauntletError, InvalidRequest, Problem, WithProblems, shown
from service.http.problems import HttpRefusal, kind_of
from service.prediction_log.records import Purpose
from service.routes.bodies import accept_ids, colons_of, read_score
from service.routes.json_rows import JsonRows
from service.routes.lines import LINE_LIMIT_BYTES, Line
from service.routes.turns import Slices
from service.scoring.deciding import ScoreRequest

_PURPOSES = get_args(Purpose)
_MOST_PROBLEMS = 20
"""Of one row."""
_ROW_KEYS = 4
"""Keys of a row that are not features."""

_DECODING = (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError)


class RowProblem(msgspec.Struct, frozen=True, gc=False):
    """One thing that is wrong with a row: the members of a problem document's `errors`."""

    field: str
    value: str
    allowed: str


class RefusedRow(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What is answered in place of a row that was not scored.

    Attributes:
        row: Its place, counted from 0.
        status: As if it had been asked alone: 400 no JSON, 422 not allowed, 503 not to be had now.
        detail: Why, for people.
        errors: Each field that is not allowed.
    """

    row: int
    status: int
    detail: str
    errors: list[RowProblem] = msgspec.field(default_factory=list)


Row = ScoreRequest | RefusedRow


class _ScoreBatch(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    rows: list[ScoreRequest]
    purpose: Purpose | None = None


_decode = msgspec.json.Decoder(_ScoreBatch).decode
_decode_lines = msgspec.json.Decoder(ScoreRequest).decode_lines


async def read_batch(body: bytes, encoder: Encoder, *, most: int) -> list[Row]:
    """Read `{"rows": [{"customer_id", "features", "prediction_id"}, …], "purpose": "live"}`.

    Args:
        body: JSON.
        encoder: Explains what is wrong with features.
        most: How many rows there may be.

    Returns:
        One element a row, in order.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: It is no object with a list of 1 to `most` rows.
    """
    batch = _read_at_once(body, encoder, most)
    if batch is None:
        rows, purpose = await _read_one_by_one(body, encoder, most)
    else:
        rows, purpose = [*batch.rows], batch.purpose
    if purpose is not None:
        rows = [_with_purpose(row, purpose, place) for place, row in enumerate(rows)]
    return _without_repeated_ids(rows)


def read_row_lines(lines: Sequence[Line], encoder: Encoder, first: int) -> list[Row]:
    """Read rows that stand on a line each.

    Args:
        lines: Without those that are blank.
        encoder: Explains what is wrong with features.
        first: The place of the first one.
    """
    if None not in lines:
        text = b"\n".join(line for line in lines if line is not None)
        try:
            rows = _decode_lines(text)
        except _DECODING:
            rows = []
        is_plain = len(rows) == len(lines) and text.count(b":") == sum(map(colons_of, rows))
        if is_plain and all(map(accept_ids, rows)):
            return [*rows]
    return [_read_row(line, encoder, place) for place, line in enumerate(lines, first)]


def refuse_row(row: int, error: HttpRefusal | GauntletError) -> RefusedRow:
    """What a row is answered that was not scored."""
    if isinstance(error, HttpRefusal):
        return RefusedRow(row, error.kind.status, _printable(str(error)))
    status = kind_of(error).status
    if not isinstance(error, WithProblems):
        return RefusedRow(row, status, str(error))
    few = error.problems[:_MOST_PROBLEMS]
    detail = "; ".join(str(Problem(p.field, p.value, p.allowed)) for p in few[:3])
    errors = [RowProblem(_printable(p.field), _printable(p.value), p.allowed) for p in few]
    return RefusedRow(row, status, _printable(detail), errors)


def _read_at_once(body: bytes, encoder: Encoder, most: int) -> _ScoreBatch | None:
    """The batch, if everything is right; what is not is found out one by one.

    Before decoding, colons are counted: so many rows that only counting them would take long have more of them.
    """
    colons = body.count(b":")
    if colons > most * (len(encoder.spans) + _ROW_KEYS) + 2:
        return None
    try:
        batch = _decode(body)
    except _DECODING:
        return None
    if not 0 < len(batch.rows) <= most:
        return None
    named = 1 + (batch.purpose is not None) + sum(map(colons_of, batch.rows))
    return batch if colons == named and all(map(accept_ids, batch.rows)) else None


async def _read_one_by_one(body: bytes, encoder: Encoder, most: int) -> tuple[list[Row], Purpose | None]:
    walk, slices = JsonRows(body, "rows", most=most), Slices()
    rows: list[Row] = []
    for place, row in enumerate(walk):
        rows.append(_read_row(row, encoder, place))
        await slices.pause_if_due()
    problems = [
        Problem(name[:80], "an unknown field", "'rows' or 'purpose'") for name in walk.others if name != "purpose"
    ]
    if not walk.has_rows:
        problems.append(Problem("rows", "missing", f"a list of 1 to {most:,}"))
    purpose = walk.others.get("purpose")
    if purpose is not None and purpose not in _PURPOSES:
        problems.append(Problem("purpose", shown(purpose), "one of " + ", ".join(map(repr, _PURPOSES))))
    if problems:
        raise InvalidRequest("body", problems)
    return rows, purpose


def _read_row(line: Line, encoder: Encoder, place: int) -> Row:
    if line is None:
        problem = Problem("row", "a longer line", f"a line of at most {LINE_LIMIT_BYTES:,} bytes")
        return refuse_row(place, InvalidRequest("body", [problem]))
    try:
        return read_score(line, encoder)
    except (HttpRefusal, InvalidRequest) as e:
        return refuse_row(place, e)


def _with_purpose(row: Row, purpose: Purpose, place: int) -> Row:
    if isinstance(row, RefusedRow):
        return row
    if row.purpose not in ("live", purpose):
        allowed = f"left out, as the batch says {purpose!r}"
        return refuse_row(place, InvalidRequest("body", [Problem("purpose", shown(row.purpose), allowed)]))
    row.purpose = purpose
    return row


def _without_repeated_ids(rows: list[Row]) -> list[Row]:
    """The rows; one that brings the same id as an earlier one is refused, as one id stands for one prediction."""
    own = [row.prediction_id for row in rows if isinstance(row, ScoreRequest) and row.prediction_id is not None]
    if len(set(own)) == len(own):
        return rows
    places: dict[str, int] = {}
    found: list[Row] = []
    for place, row in enumerate(rows):
        first = place
        if isinstance(row, ScoreRequest) and row.prediction_id is not None:
            first = places.setdefault(row.prediction_id, place)
        found.append(row if first == place else _repeated(row, place, first))
    return found


def _repeated(row: Row, place: int, first: int) -> RefusedRow:
    own_id = row.prediction_id if isinstance(row, ScoreRequest) else None
    problem = Problem("prediction_id", shown(own_id), f"another than that of row {first}")
    return refuse_row(place, InvalidRequest("body", [problem]))


def _printable(text: str) -> str:
    """The text with halves of surrogate pairs, which a JSON body may spell and UTF-8 cannot, written out."""
    return text.encode("utf-8", "backslashreplace").decode()
