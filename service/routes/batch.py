"""`POST /v1/score/batch`: many rows of one request, as one JSON body or as a stream of lines; an answer a row in order.

Rows are scored in chunks of a few milliseconds, and between two chunks everybody else gets a turn. What is not allowed
in one row costs the others nothing: it is named in that row's place.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

import msgspec

from bentos.errors import GauntletError, InvalidFeatures, InvalidRequest, Problem, Unavailable
from service.http.limits import EVERYBODY, Bound
from service.http.messages import Request, Response
from service.http.problems import HttpRefusal
from service.routes.batch_bodies import RefusedRow, Row, read_batch, read_row_lines, refuse_row
from service.routes.lines import NDJSON, WHOLE_AT_ONCE, Line, kind_of_body, parts_of, read_lines, whole_body
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
        self._turns = parts.turns
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
        parts.rate.take(request.client or EVERYBODY, len(rows), request.started)
        told, encoded, refused, first = 0, [], [], None
        while told < len(rows):
            some = rows[told : told + self._turns.rows]
            async with self._turns.take(len(some)):
                found = self._score(some, request, told)
                refused += [one for one in found if isinstance(one, RefusedRow)]
                first = first or _first_id(found)
                encoded.append(_encode(found)[1:-1])
            told += len(some)
        if told == len(refused):
            raise _nothing_scored(refused)
        counts = b'"accepted":%d,"refused":%d' % (told - len(refused), len(refused))
        body = b'{"predictions":[%b],%b}' % (b",".join(encoded), counts)
        return Response(200, body, exemplar=first)

    async def _stream(self, request: Request) -> Response:
        """Answer lines as they come. What stops the first of them has a status; the head of the answer is out then.

        It has no exemplar: it takes as long as its client sends.
        """
        answers = self._answers(request)
        try:
            first = await anext(answers)
        except StopAsyncIteration:
            raise InvalidRequest("body", [Problem("rows", "missing", "at least one line")]) from None
        return Response(200, b"", NDJSON, parts=_preceded(first, answers))

    async def _answers(self, request: Request) -> AsyncGenerator[bytes, None]:
        client, place = request.client or EVERYBODY, 0
        try:
            async with aclosing(read_lines(parts_of(request))) as found:
                async for lines in found:
                    told = [line for line in lines if line is None or line.strip()]
                    while told:
                        some, told = told[: self._turns.rows], told[self._turns.rows :]
                        await self._parts.rate.pay(client, len(some), may_wait=place > 0)
                        async with self._turns.take(len(some)):
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

    def _score(self, rows: Sequence[Row], request: Request, first: int) -> list[Answered]:
        """Answer some rows, no more than can be scored together.

        Raises:
            Unavailable: There are no roles to answer by.
            InvalidRequest: A header is not what is allowed.
        """
        found: list[Answered | None] = [row if isinstance(row, RefusedRow) else None for row in rows]
        whose = [i for i, row in enumerate(rows) if isinstance(row, ScoreRequest)]
        good = [row for row in rows if isinstance(row, ScoreRequest)]
        asked = self._parts.asking.ask_all(good, request, [first + i for i in whose])
        refused = self._encode(asked)
        for i, why in zip(whose, refused, strict=True):
            found[i] = None if why is None else refuse_row(first + i, why)
        encoded = [one for one, why in zip(asked, refused, strict=True) if why is None and isinstance(one, Asked)]
        scored = iter(self._parts.bulk.score(encoded) if encoded else ())
        for i, one in enumerate(found):
            if one is None:
                told = next(scored)
                found[i] = told.answer if isinstance(told, Scored) else refuse_row(first + i, told)
        return [one for one in found if one is not None]

    def _encode(self, asked: Sequence[Asked | InvalidRequest]) -> Sequence[InvalidRequest | InvalidFeatures | None]:
        """Encode the rows that are right, one behind the other; gives for each why it is not."""
        rows = self._parts.bulk.rows
        right = [one.request.features for one in asked if isinstance(one, Asked)]
        if right and len(right) == len(asked) and rows.fill_all(right):
            return [None] * len(asked)
        found: list[InvalidRequest | InvalidFeatures | None] = []
        place = 0
        for one in asked:
            try:
                if isinstance(one, InvalidRequest):
                    raise one
                rows.fill(place, one.request.features)
            except (InvalidRequest, InvalidFeatures) as e:
                found.append(e)
            else:
                found.append(None)
                place += 1
        return found


async def _preceded(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for one in rest:
            yield one


def _first_id(answered: Sequence[Answered]) -> str | None:
    """The first prediction of some rows; None where all of them are refused."""
    return next((one.prediction_id for one in answered if isinstance(one, Answer)), None)


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
