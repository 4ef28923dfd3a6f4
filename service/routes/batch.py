"""`POST /v1/score/batch`: many rows of one request, as one JSON body or as a stream of lines; an answer a row in order.

Rows are scored in chunks of a few milliseconds, and between two chunks everybody else gets a turn. What is not allowed
in one row costs the others nothing: it is named in that row's place.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from bentos.errors import GauntletError, InvalidFeatures, InvalidRequest, Problem, Unavailable
from service.http.limits import Bound
from service.http.messages import Request, Response
from service.http.problems import TOO_MANY, HttpRefusal
from service.routes.batch_bodies import RefusedRow, Row, read_batch, read_row_lines, refuse_row
from service.routes.lines import NDJSON, WHOLE_AT_ONCE, Line, kind_of_body, parts_of, read_lines, whole_body
from service.routes.turns import Turns
from service.scoring.batching import Asked
from service.scoring.deciding import Answer, Scored, ScoreRequest

if TYPE_CHECKING:
    from service.routes.table import Parts

_encode = msgspec.json.Encoder().encode
_encode_lines = msgspec.json.Encoder().encode_lines

Answered = Answer | RefusedRow


class BatchHandler:
    """Answers the route."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._turns = Turns()
        self._bound = Bound(WHOLE_AT_ONCE)

    async def batch(self, request: Request) -> Response:
        """Score every row of a request that can be scored.

        Raises:
            HttpRefusal: The body is no JSON, too large, or too many rows were asked for.
            InvalidRequest: The body is no batch, or no row of it is allowed.
            Unavailable: Nothing can be scored now.
        """
        if kind_of_body(request.headers) == NDJSON:
            return await self._stream(request)
        async with whole_body(request, self._parts.body_limit_bytes, self._bound) as body:
            return await self._answer_whole(body, request)

    async def _answer_whole(self, body: bytes, request: Request) -> Response:
        parts = self._parts
        rows = await read_batch(body, parts.models.rows.encoder, most=parts.batch_rows)
        parts.rate.take(request.client or "everybody", len(rows), request.started)
        accepted, encoded, refused = 0, [], []
        for first in range(0, len(rows), parts.bulk.rows.capacity):
            async with self._turns.take():
                found = self._score(rows[first : first + parts.bulk.rows.capacity], request, first)
                refused += [one for one in found if isinstance(one, RefusedRow)]
                accepted = first + len(found) - len(refused)
                encoded.append(_encode(found)[1:-1])
        if not accepted:
            raise _nothing_scored(refused)
        counts = b'"accepted":%d,"refused":%d' % (accepted, len(refused))
        return Response(200, b'{"predictions":[%b],%b}' % (b",".join(encoded), counts))

    async def _stream(self, request: Request) -> Response:
        """Answer lines as they come. What stops the first of them has a status; the head of the answer is out then."""
        answers = self._answers(request)
        try:
            first = await anext(answers)
        except StopAsyncIteration:
            raise InvalidRequest("body", [Problem("rows", "missing", "at least one line")]) from None
        return Response(200, b"", NDJSON, parts=_preceded(first, answers))

    async def _answers(self, request: Request) -> AsyncIterator[bytes]:
        capacity, place = self._parts.bulk.rows.capacity, 0
        try:
            async for lines in read_lines(parts_of(request)):
                told = [line for line in lines if line is None or line.strip()]
                for start in range(0, len(told), capacity):
                    some = told[start : start + capacity]
                    await self._pay(request, len(some), is_first=place == 0)
                    async with self._turns.take():
                        answered = self._score_lines(some, request, place)
                    place += len(some)
                    yield answered
        except HttpRefusal as e:  # the body came too slowly, or the client left
            if place == 0:
                raise
            yield _encode_lines([refuse_row(place, e)])

    def _score_lines(self, lines: Sequence[Line], request: Request, first: int) -> bytes:
        rows = read_row_lines(lines, self._parts.models.rows.encoder, first)
        try:
            found = self._score(rows, request, first)
        except (HttpRefusal, GauntletError) as e:
            if first == 0:
                raise  # nothing was answered yet: a status can still say it
            found = [refuse_row(place, e) for place in range(first, first + len(rows))]
        return _encode_lines(found)

    async def _pay(self, request: Request, rows: int, *, is_first: bool) -> None:
        """Take tokens for rows of a stream: too early for the first of them it is refused, later it is slowed down."""
        while True:
            try:
                self._parts.rate.take(request.client or "everybody", rows, time.perf_counter())
            except HttpRefusal as e:
                if is_first or e.kind is not TOO_MANY:
                    raise
                await asyncio.sleep(float(dict(e.headers).get(b"retry-after", b"1")))
            else:
                return

    def _score(self, rows: Sequence[Row], request: Request, first: int) -> list[Answered]:
        """Answer some rows, no more than can be scored together.

        Raises:
            Unavailable: There are no roles to answer by.
            InvalidRequest: A header is not what is allowed.
        """
        found: list[Answered | None] = [row if isinstance(row, RefusedRow) else None for row in rows]
        whose = [i for i, row in enumerate(rows) if isinstance(row, ScoreRequest)]
        good = [row for row in rows if isinstance(row, ScoreRequest)]
        encoded: list[Asked] = []
        places: list[int] = []
        for i, asked in zip(whose, self._parts.asking.ask_all(good, request, [first + i for i in whose]), strict=True):
            try:
                if isinstance(asked, InvalidRequest):
                    raise asked
                self._parts.bulk.rows.fill(len(encoded), asked.request.features)
            except (InvalidRequest, InvalidFeatures) as e:
                found[i] = refuse_row(first + i, e)
            else:
                encoded.append(asked)
                places.append(i)
        scored = self._parts.bulk.score(encoded) if encoded else []
        for i, one in zip(places, scored, strict=True):
            found[i] = one.answer if isinstance(one, Scored) else refuse_row(first + i, one)
        return [one for one in found if one is not None]


async def _preceded(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for one in rest:
        yield one


def _nothing_scored(refused: Sequence[RefusedRow]) -> GauntletError:
    """Why a batch of which nothing was scored is refused as a whole."""
    unavailable = next((one for one in refused if one.status >= 500), None)
    if unavailable is not None:
        return Unavailable(f"no row could be scored; row {unavailable.row}: {unavailable.detail}")
    problems = [
        Problem(problem.field, problem.value, problem.allowed, one.row) for one in refused for problem in one.errors
    ]
    problems += [Problem("row", one.detail, "a JSON object", one.row) for one in refused if not one.errors]
    return InvalidRequest("rows", problems)
