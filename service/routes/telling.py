"""What clients tell about predictions, by prediction_id: one thing or many, as JSON, as lines of JSON, or as CSV.

A JSON body is taken whole or not at all. A stream is taken line by line, because it may be longer than memory: bad
lines are left out and named, and the answer says how many were taken. Whatever is told twice counts once, so that the
cure for everything is to send it all again.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, TypeVar

import msgspec

from bentos.errors import InvalidRequest, Problem, Unavailable, shown
from service.http.limits import EVERYBODY, Bound, RateLimit
from service.http.messages import JSON, Request, Response
from service.http.problems import CONTENT_TYPE, HttpRefusal, kind_of
from service.prediction_log.records import Outcome, Treatment
from service.prediction_log.spool import Spool
from service.routes.asking import Clock
from service.routes.bodies import load
from service.routes.json_rows import JsonRows
from service.routes.lines import (
    CSV,
    LINE_LIMIT_BYTES,
    WHOLE_AT_ONCE,
    Line,
    kind_of_body,
    parts_of,
    read_lines,
    whole_body,
)
from service.routes.turns import Slices, let_others

MOST_BAD_LINES = 1000
"""A stream with more is not read to its end: whoever sends it has mistaken the file."""
_MOST_PROBLEMS = 100
_MOST_UNKNOWN = 20
"""Fields of one thing that are named where they are unknown: a line may have thousands, and the answer keeps them."""
_ROWS_A_WRITE = 500

Told = TypeVar("Told", bound=Outcome | Treatment)


@dataclass(frozen=True)
class Telling(Generic[Told]):
    """One kind of thing that is told.

    Attributes:
        name: Of many: the key of a JSON list of them.
        fields: The three that each has.
        decode: A whole JSON body, where everything has the right type; gives structs whose members are the fields.
        read: From the three values to a record, or what is wrong with them.
        count: Counts those that were kept.
        colons: How many colons one of them has at most, in its usual spelling.
    """

    name: str
    fields: tuple[str, str, str]
    decode: Callable[[bytes], Sequence[msgspec.Struct]]
    read: Callable[[object, object, object, int], Told | list[Problem]]
    count: Callable[[int], None]
    colons: int = 8


class LineProblem(msgspec.Struct, frozen=True, gc=False):
    """One thing that is wrong with a line, which is counted from 1 as editors do."""

    line: int
    field: str
    value: str
    allowed: str


class Taken(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of what was told.

    Attributes:
        accepted: How many are kept.
        refused: How many lines are not.
        errors: What is wrong with those.
    """

    accepted: int
    refused: int = 0
    errors: list[LineProblem] = msgspec.field(default_factory=list)


class _LinesRefused(msgspec.Struct, frozen=True):
    """A problem document about lines, which says too how many are kept nevertheless."""

    type: str
    title: str
    status: int
    detail: str
    accepted: int
    refused: int
    errors: list[LineProblem]


class TellingHandler(Generic[Told]):
    """Answers one route on which things are told."""

    def __init__(
        self,
        telling: Telling[Told],
        *,
        spool: Spool,
        rate: RateLimit,
        clock: Clock,
        batch_rows: int,
        body_limit_bytes: int,
    ) -> None:
        """Take what is told into the prediction log.

        Args:
            telling: What it is.
            spool: The prediction log.
            rate: How many things a client may tell, which count like rows to score.
            clock: Now.
            batch_rows: The most that one JSON body may hold.
            body_limit_bytes: The largest JSON body.
        """
        self._telling = telling
        self._spool = spool
        self._rate = rate
        self._clock = clock
        self._most = batch_rows
        self._limit_bytes = body_limit_bytes
        self._bound = Bound(WHOLE_AT_ONCE)

    async def take(self, request: Request) -> Response:
        """Take everything that a JSON body tells, or every good line of a stream.

        Raises:
            HttpRefusal: The body cannot be read.
            InvalidRequest: With every problem of a JSON body, by row and field.
            Unavailable: The prediction log cannot be written.
        """
        kind = kind_of_body(request.headers)
        if kind != JSON and not kind.endswith(b"+json"):
            return await self._take_lines(request, is_csv=kind == CSV)
        async with whole_body(request, self._limit_bytes, self._bound) as body:
            told = await read_told(body, self._telling, most=self._most, now=self._clock())
        self._rate.take(request.client or EVERYBODY, len(told), request.started)
        for start in range(0, len(told), _ROWS_A_WRITE):
            self._keep(told[start : start + _ROWS_A_WRITE], kept=start)
            await let_others()
        return Response(202, msgspec.json.encode(Taken(len(told))))

    async def _take_lines(self, request: Request, *, is_csv: bool) -> Response:
        reader = LineReader(self._telling, is_csv=is_csv)
        async with aclosing(read_lines(parts_of(request))) as found:
            async for lines in found:
                for start in range(0, len(lines), _ROWS_A_WRITE):
                    before, some = reader.accepted, lines[start : start + _ROWS_A_WRITE]
                    await self._rate.pay(request.client or EVERYBODY, len(some), may_wait=reader.line > 0)
                    self._keep(reader.read(some, self._clock()), kept=before)
                    if reader.refused > MOST_BAD_LINES:
                        last = f"none behind line {reader.line:,} was read"
                        why = f"there are more than {MOST_BAD_LINES:,} bad lines, and {last}"
                        return self._refuse_lines(reader, why)
                    await let_others()
        if not reader.accepted and not reader.refused:
            raise InvalidRequest("body", [Problem(self._telling.name, "missing", "at least one line")])
        if not reader.accepted:
            return self._refuse_lines(reader, "no line is right")
        return Response(202, msgspec.json.encode(Taken(reader.accepted, reader.refused, reader.problems)))

    def _refuse_lines(self, reader: LineReader[Told], why: str) -> Response:
        kind = kind_of(InvalidRequest(self._telling.name, []))
        kept = f"{reader.accepted:,} {self._telling.name} were taken; correct the rest and send all again"
        document = _LinesRefused(
            type=f"urn:gauntlet:problem:{kind.slug}",
            title=kind.title,
            status=kind.status,
            detail=f"{why}: {kept}, as what is sent twice counts once",
            accepted=reader.accepted,
            refused=reader.refused,
            errors=reader.problems,
        )
        return Response(kind.status, msgspec.json.encode(document), CONTENT_TYPE)

    def _keep(self, told: Sequence[Told], *, kept: int) -> None:
        if not told:
            return
        written = sum(self._spool.append_all(told))
        self._telling.count(written)
        if written < len(told):
            name = self._telling.name
            raise Unavailable(
                f"{len(told) - written} of {len(told)} {name} could not be kept, after {kept} that were; "
                "send them all again, as what is sent twice counts once"
            )


async def read_told(body: bytes, telling: Telling[Told], *, most: int, now: int) -> list[Told]:
    """Read one thing that is told, or `{"outcomes": […]}`: all of them right, or none.

    Args:
        body: JSON.
        telling: What is told.
        most: How many there may be.
        now: In microseconds since 1970 UTC.

    Raises:
        HttpRefusal: The body is no JSON.
        InvalidRequest: With every problem up to a hundred, by row and field.
    """
    return await _read_at_once(body, telling, most, now) or await _read_one_by_one(body, telling, most, now)


class LineReader(Generic[Told]):
    """Reads lines of JSON or CSV, and remembers what was wrong.

    Attributes:
        line: The number of the last line that was read, from 1.
        accepted: How many records were read.
        refused: How many lines were not right.
        problems: Of those.
    """

    def __init__(self, telling: Telling[Told], *, is_csv: bool) -> None:
        self.line = self.accepted = self.refused = 0
        self.problems: list[LineProblem] = []
        self._telling = telling
        self._is_csv = is_csv
        self._order: tuple[int, int, int] | None = None

    def read(self, lines: Sequence[Line], now: int) -> list[Told]:
        """The records of some lines.

        Raises:
            InvalidRequest: CSV does not begin with its header.
        """
        found: list[Told] = []
        for line in lines:
            self.line += 1
            if line is not None and not line.strip():
                continue
            if self._is_csv and self._order is None:
                self._order = _read_header(line, self._telling.fields)
                continue
            record = self._read(line, now)
            if isinstance(record, list):
                self._refuse(record)
                if self.refused > MOST_BAD_LINES:
                    break
            else:
                found.append(record)
        self.accepted += len(found)
        return found

    def _read(self, line: Line, now: int) -> Told | list[Problem]:
        if line is None:
            return [Problem("line", "a longer one", f"at most {LINE_LIMIT_BYTES:,} bytes")]
        if not self._is_csv:
            return _read_object(line, self._telling, now)
        values = _cells(line)
        if isinstance(values, list) and len(values) == len(self._telling.fields) and self._order is not None:
            first, second, third = (values[i] for i in self._order)
            return self._telling.read(first, second, third, now)
        if isinstance(values, Problem):
            return [values]
        return [Problem("line", f"one of {len(values)} columns", f"one of {len(self._telling.fields)}")]

    def _refuse(self, problems: Sequence[Problem]) -> None:
        self.refused += 1
        self.problems += [LineProblem(self.line, _printable(p.field), _printable(p.value), p.allowed) for p in problems]


async def _read_at_once(body: bytes, telling: Telling[Told], most: int, now: int) -> list[Told]:
    """Everything that is told, if all of it is right and no more than allowed; else nothing."""
    if body.count(b":") > most * telling.colons + 1:
        return []
    try:
        told = telling.decode(body)
    except (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError):
        return []
    colons, slices = 1, Slices()
    found: list[Told] = []
    for one in told[: most + 1]:
        values = msgspec.structs.astuple(one)
        colons += 3 + sum(value.count(":") for value in values if type(value) is str)
        record = telling.read(values[0], values[1], values[2], now)
        if isinstance(record, list):
            return []
        found.append(record)
        await slices.pause_if_due()
    # Other keys, and keys that are written twice, have colons of their own.
    return found if len(found) <= most and colons == body.count(b":") else []


async def _read_one_by_one(body: bytes, telling: Telling[Told], most: int, now: int) -> list[Told]:
    walk, slices = JsonRows(body, telling.name, most=most), Slices()
    found: list[Told] = []
    problems: list[Problem] = []
    for place, row in enumerate(walk):
        record = _read_object(row, telling, now)
        if isinstance(record, list):
            problems += [Problem(p.field, p.value, p.allowed, place) for p in record]
            if len(problems) >= _MOST_PROBLEMS:
                break
        else:
            found.append(record)
        await slices.pause_if_due()
    if walk.has_rows:
        problems += [Problem(name[:80], "an unknown field", repr(telling.name)) for name in walk.others]
    else:
        record = _read_members(walk.others, telling, now)
        problems, found = (record, found) if isinstance(record, list) else (problems, [record])
    if problems:
        raise InvalidRequest(telling.name, problems)
    return found


def _read_object(row: bytes, telling: Telling[Told], now: int) -> Told | list[Problem]:
    """What one JSON object tells, or what is wrong with it."""
    try:
        told = load(row)
    except HttpRefusal as e:
        return [Problem("row", str(e)[:200], "a JSON object")]
    if not isinstance(told, dict):
        return [Problem("row", shown(told), f"an object with {', '.join(telling.fields)}")]
    return _read_members(told, telling, now)


def _read_members(told: dict[str, Any], telling: Telling[Told], now: int) -> Told | list[Problem]:
    first, second, third = (told.get(name) for name in telling.fields)
    record = telling.read(first, second, third, now)
    unknown = list(islice(_unknown_fields(told, telling.fields), _MOST_UNKNOWN))
    if not unknown:
        return record
    return [*record, *unknown] if isinstance(record, list) else unknown


def _unknown_fields(told: dict[str, Any], fields: tuple[str, ...]) -> Iterator[Problem]:
    for name in told:
        if name not in fields:
            yield Problem(name[:80], "an unknown field", f"one of {', '.join(fields)}")


def _read_header(line: Line, fields: tuple[str, str, str]) -> tuple[int, int, int]:
    """Where each field stands in a line of CSV."""
    cells = _cells((line or b"").removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(cells, list) or sorted(cells) != sorted(fields):
        found = cells.value if isinstance(cells, Problem) else shown(",".join(cells))
        raise InvalidRequest("line 1", [Problem("header", found, f"{','.join(fields)}, in any order")])
    first, second, third = (cells.index(name) for name in fields)
    return first, second, third


def _cells(line: bytes) -> list[str] | Problem:
    """The cells of a line of CSV (RFC 4180); no cell holds a line feed."""
    try:
        text = line.rstrip(b"\r").decode()
        return next(csv.reader((text,), strict=True)) if '"' in text else text.split(",")
    except UnicodeDecodeError:
        return Problem("line", shown(line), "UTF-8")
    except csv.Error as e:
        return Problem("line", f"{shown(text)} ({e})", "CSV, with no line feed in a cell")


def _printable(text: str) -> str:
    """The text with halves of surrogate pairs, which a JSON body may spell and UTF-8 cannot, written out."""
    return text.encode("utf-8", "backslashreplace").decode()
