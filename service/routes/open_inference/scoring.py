"""Scoring the rows of one request: all are checked before the first is scored, and others get a turn in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Encoder, floats_of
from bentos.errors import GauntletError, InvalidFeatures, InvalidRequest, Problem, Unavailable
from service.http.messages import Request
from service.routes.asking import Asking
from service.routes.turns import Turns
from service.scoring.batching import Asked, Scoring
from service.scoring.deciding import Answer, Assignment, Roles, Scored, ScoreRequest
from service.scoring.models import Model

_MOST_PROBLEMS = 100


class RowScoring:
    """Scores the rows of requests; one for all routes, so that requests with many rows take turns."""

    def __init__(self, asking: Asking, scoring: Scoring, turns: Turns) -> None:
        """Score nothing yet.

        Args:
            asking: Decides what can be decided before a row is scored.
            scoring: For many rows of one request.
            turns: Of everybody who has many rows.
        """
        self._asking = asking
        self._scoring = scoring
        self._turns = turns

    async def score(self, rows: Sequence[ScoreRequest], request: Request, model: Model | None) -> list[Answer]:
        """Answer every row, or none.

        Where a model cannot answer in the middle of many rows, those before it are in the prediction log.

        Args:
            rows: At least one.
            request: The request that they came in.
            model: Whose word is asked for; None for the answer that the experiment routes each row to.

        Raises:
            InvalidFeatures: With the problems of all rows, up to a hundred.
            InvalidRequest: A header is not what is allowed, or the client's own id is too old.
            Unavailable: There are no roles to answer by, or a model answered no probability.
        """
        if len(rows) == 1:
            encoded = _encode(rows, self._scoring.rows.encoder, None)
            return self._answer([self._asking.ask(rows[0], request)], encoded, model)
        matrix = await self._encode_all(rows)
        answers: list[Answer] = []
        for chunk in self._chunks(len(rows)):
            async with self._turns.take(chunk.stop - chunk.start):
                places = range(chunk.start, chunk.stop)
                asked = self._asking.ask_all(rows[chunk], request, places)
                answers += self._answer([_accepted(one) for one in asked], matrix[chunk], model)
        return answers

    async def _encode_all(self, rows: Sequence[ScoreRequest]) -> NDArray[np.float32]:
        """All rows as models read them, shape (n_rows, width); nothing is scored before all are allowed."""
        found: list[NDArray[np.float32]] = []
        problems: list[Problem] = []
        for chunk in self._chunks(len(rows)):
            async with self._turns.take():
                try:
                    found.append(_encode(rows[chunk], self._scoring.rows.encoder, chunk.start))
                except InvalidFeatures as e:
                    problems += e.problems
            if len(problems) >= _MOST_PROBLEMS:
                break
        if problems:
            raise InvalidFeatures("inputs", problems[:_MOST_PROBLEMS])
        return np.concatenate(found)

    def _answer(self, asked: Sequence[Asked], encoded: NDArray[np.float32], model: Model | None) -> list[Answer]:
        if model is not None:
            for one in asked:
                one.assignment = pin_model(one.assignment, one.roles, model)
        self._scoring.rows.values[: len(asked)] = encoded  # and no pause before they are scored
        return [_answered(found, model) for found in self._scoring.score(asked)]

    def _chunks(self, rows: int) -> Iterator[slice]:
        start = 0
        while start < rows:
            stop = min(start + self._turns.rows, rows)
            yield slice(start, stop)
            start = stop


def pin_model(assignment: Assignment, roles: Roles, model: Model) -> Assignment:
    """The assignment of a row whose client named the model: logged as it was answered, and never evidence.

    The champion is asked alone. Any other model stands in the record as the challenger beside the champion, whether it
    is on trial or not; its experiment and share are those of its trial, or the phase's and 0 where it has none. If it
    answers no probability, the client gets none, and the record says that only the champion could.
    """
    no_treatment = assignment.no_treatment
    if model.digest == roles.champion.digest:
        return Assignment("pinned", assignment.experiment, assignment.split, None, "champion", no_treatment)
    for trial in roles.trials:
        if trial.model is not None and trial.model.digest == model.digest:
            return Assignment("pinned", trial.experiment, trial.split, model, "challenger", no_treatment)
    return Assignment("pinned", roles.experiment, 0.0, model, "challenger", no_treatment)


def _encode(rows: Sequence[ScoreRequest], encoder: Encoder, first: int | None) -> NDArray[np.float32]:
    """Rows as models read them, shape (n_rows, width).

    Raises:
        InvalidFeatures: With every problem, its row counted from `first`; no row is named where that is None.
    """
    encoded = np.zeros((len(rows), encoder.width), dtype=np.float32)
    if encoder.encode_rows([one.features for one in rows], encoded):
        return encoded
    encoded.fill(0.0)
    problems: list[Problem] = []
    for i, one in enumerate(rows):
        try:
            encoder.encode_into(one.features, floats_of(encoded[i]))
        except InvalidFeatures as e:
            row = None if first is None else first + i
            problems.extend(replace(problem, row=row) for problem in e.problems)
    if problems:
        raise InvalidFeatures("inputs", problems)
    return encoded


def _accepted(asked: Asked | InvalidRequest) -> Asked:
    if isinstance(asked, InvalidRequest):
        raise asked
    return asked


def _answered(found: Scored | GauntletError, model: Model | None) -> Answer:
    if not isinstance(found, Scored):
        raise found
    if model is not None and found.answer.model.digest != model.digest:
        raise Unavailable(f"{model.identity} answered no probability, and no other model is asked in its place")
    return found.answer
