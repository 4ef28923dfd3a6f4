"""Scoring together what arrived together: one call a model and one write to the spool for many requests.

Requests that the event loop found waiting in one turn are encoded into the rows of one matrix, and the next turn
scores them. Nobody waits for others to arrive: a request that is alone is scored alone. Trees are read from memory once
a batch instead of once a row, which is what most of a row's time was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.errors import GauntletError, Unavailable
from service.prediction_log.records import Prediction
from service.scoring.circuit import Circuit
from service.scoring.deciding import Assignment, Roles, Scored, ScoreRequest, as_probability, decide
from service.scoring.models import Model, Rows


class Asked(msgspec.Struct, gc=False):
    """One request on its way to its answer.

    Attributes:
        request: What was asked.
        assignment: What was decided about the customer.
        roles: Who plays which role.
        prediction_id: The id of this prediction.
        at: When it arrived, microseconds since 1970 UTC.
        started: When it arrived, on `time.perf_counter`.
        request_id: For the record.
        trace_id: For the record.
        client: For the record.
    """

    request: ScoreRequest
    assignment: Assignment
    roles: Roles
    prediction_id: str
    at: int
    started: float
    request_id: str | None = None
    trace_id: str | None = None
    client: str | None = None


class Counts(Protocol):
    """What is counted of a batch."""

    def count_scored(self, scored: Sequence[Scored], rows: NDArray[np.float32]) -> None:
        """Count predictions and their encoded rows, which are in the same order."""

    def count_call(self, model: Model, rows: int, seconds: float) -> None:
        """Count one call of a model."""


Write = Callable[[Sequence[Prediction]], Sequence[bool]]
"""Writes records to the spool, and says of each whether it is there."""


class Scoring:
    """Scores encoded rows with whatever models they need, logs and counts them.

    Attributes:
        rows: What requests are encoded into.
        circuits: By the digest of each challenger that was asked.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        is_bound: bool,
        write: Write,
        counts: Counts,
        circuits: dict[str, Circuit],
        budget_seconds: float,
        must_log: bool,
    ) -> None:
        """Put together what scoring needs.

        Args:
            rows: What requests are encoded into.
            is_bound: Whether the models are bound to these very rows.
            write: To the spool.
            counts: To the metrics.
            circuits: Shared between all who ask the same challengers.
            budget_seconds: What one call of a challenger may take.
            must_log: Refuse a request whose record cannot be written, instead of answering it.
        """
        self.rows = rows
        self.circuits = circuits
        self._is_bound = is_bound
        self._write = write
        self._counts = counts
        self._budget_seconds = budget_seconds
        self._must_log = must_log

    def score(self, asked: Sequence[Asked]) -> list[Scored | GauntletError]:
        """Answer requests whose features stand in the first rows, in this order.

        Returns:
            For each request its answer, or why there is none.
        """
        champions, champion_us = self._ask_champions(asked)
        challengers, challenger_us = self._ask_challengers(asked)
        found: list[Scored | GauntletError] = []
        for i, one in enumerate(asked):
            champion = champions[i]
            if champion is None:
                found.append(Unavailable(f"the champion {one.roles.champion.identity} answered no probability"))
            else:
                found.append(_decide(one, champion, challengers[i], champion_us[i], challenger_us[i]))
        self._log(asked, found)
        return found

    def _log(self, asked: Sequence[Asked], found: list[Scored | GauntletError]) -> None:
        answered = [i for i, one in enumerate(found) if isinstance(one, Scored)]
        scored = [one for one in found if isinstance(one, Scored)]
        written = self._write([one.prediction for one in scored])
        rows = self.rows.values
        self._counts.count_scored(scored, rows[: len(asked)] if len(scored) == len(asked) else rows[answered])
        if self._must_log and not all(written):
            for i, is_written in zip(answered, written, strict=True):
                if not is_written:
                    found[i] = Unavailable("the prediction log cannot be written, and no answer is given without it")

    def _ask_champions(self, asked: Sequence[Asked]) -> tuple[list[float | None], list[int | None]]:
        """What the champions said of each row, and the microseconds of the call that the row was part of."""
        groups = _group([one.roles.champion for one in asked])
        found: list[float | None] = [None] * len(asked)
        took: list[int | None] = [None] * len(asked)
        for model, members in groups:
            try:
                probabilities, seconds = self._call(model, members, len(asked))
            except Exception:  # onnxruntime's errors share no base class; a row that spoils others is asked alone
                probabilities, seconds = self._call_singly(model, members)
            self._counts.count_call(model, len(members), seconds)
            micros = int(seconds * 1e6)
            for i, value in zip(members, probabilities, strict=True):
                found[i] = as_probability(value)
                took[i] = micros
        return found, took

    def _ask_challengers(self, asked: Sequence[Asked]) -> tuple[list[float | None], list[int | None]]:
        """The same of the challengers; no time where a circuit left one alone."""
        groups = _group([one.assignment.challenger for one in asked])
        found: list[float | None] = [None] * len(asked)
        took: list[int | None] = [None] * len(asked)
        for model, members in groups:
            circuit = self._circuit(model)
            if not circuit.lets_through():
                continue
            began = time.perf_counter()
            try:
                probabilities, seconds = self._call(model, members, len(asked))
                checked = [as_probability(value) for value in probabilities]
            except Exception:  # whatever it is, it is the challenger's failure and not the customer's
                checked, seconds = [None] * len(members), time.perf_counter() - began
            circuit.note(failed=all(value is None for value in checked), seconds=seconds)
            self._counts.count_call(model, len(members), seconds)
            micros = int(seconds * 1e6)
            for i, probability in zip(members, checked, strict=True):
                found[i] = probability
                took[i] = micros
        return found, took

    def _call(self, model: Model, members: Sequence[int], n: int) -> tuple[list[float], float]:
        """The model's word for some of the first `n` rows, and what it took in seconds."""
        began = time.perf_counter()
        if len(members) == n and self._is_bound:
            found = model.scorer.score_first(n)
        elif len(members) == n:
            found = model.scorer.score(self.rows.values[:n]).tolist()
        else:
            found = model.scorer.score(self.rows.values[list(members)]).tolist()
        return found, time.perf_counter() - began

    def _call_singly(self, model: Model, members: Sequence[int]) -> tuple[list[float], float]:
        began = time.perf_counter()
        found = []
        for i in members:
            try:
                found.append(float(model.scorer.score(self.rows.values[i : i + 1])[0]))
            except Exception:  # as above; NaN is no probability
                found.append(float("nan"))
        return found, time.perf_counter() - began

    def _circuit(self, model: Model) -> Circuit:
        digest = model.identity.digest
        found = self.circuits.get(digest)
        if found is None:
            found = self.circuits[digest] = Circuit(
                str(model.identity), budget_seconds=self._budget_seconds, clock=time.monotonic
            )
        return found


Done = Callable[[Scored | GauntletError], None]
"""Is told the answer of one request."""


class Batch:
    """The requests of this turn of the event loop, scored in the next."""

    def __init__(
        self, scoring: Scoring, call_soon: Callable[[Callable[[], None]], object], note: Callable[[int, float], None]
    ) -> None:
        """Begin empty.

        Args:
            scoring: Scores them; its rows are this batch's own.
            call_soon: The event loop's.
            note: Is told how many requests were answered together and what that took in seconds.
        """
        self._scoring = scoring
        self._call_soon = call_soon
        self._note = note
        self._asked: list[Asked] = []
        self._done: list[Done] = []

    def add(self, asked: Asked, done: Done) -> None:
        """Encode a request and let it be answered with those that came in the same turn.

        Raises:
            InvalidFeatures: With every problem of its features.
        """
        place = len(self._asked)
        if place == self._scoring.rows.capacity:
            self.flush()
            place = 0
        self._scoring.rows.fill(place, asked.request.features)
        self._asked.append(asked)
        self._done.append(done)
        if place == 0:
            self._call_soon(self.flush)

    def flush(self) -> None:
        """Answer everything that waits."""
        if not self._asked:
            return
        began = time.perf_counter()
        asked, done = self._asked, self._done
        self._asked, self._done = [], []
        try:
            found = self._scoring.score(asked)
        except Exception as e:  # nobody may wait for ever; the cause is logged where the answers are made
            failed = GauntletError("scoring crashed")
            failed.__cause__ = e
            found = [failed] * len(asked)
        for tell, one in zip(done, found, strict=True):
            tell(one)
        self._note(len(asked), time.perf_counter() - began)


def _decide(
    one: Asked, champion: float, challenger: float | None, champion_us: int | None, challenger_us: int | None
) -> Scored:
    return decide(
        one.request,
        one.assignment,
        one.roles,
        champion,
        challenger,
        prediction_id=one.prediction_id,
        at=one.at,
        latency_us=int((time.perf_counter() - one.started) * 1e6),
        request_id=one.request_id,
        trace_id=one.trace_id,
        client=one.client,
        champion_us=champion_us,
        challenger_us=challenger_us,
    )


def _group(models: Sequence[Model | None]) -> list[tuple[Model, Sequence[int]]]:
    """Which rows each model is asked about; nearly always all rows, and one model."""
    first = models[0]
    if models.count(first) == len(models):
        return [] if first is None else [(first, range(len(models)))]
    groups: dict[str, tuple[Model, list[int]]] = {}
    for i, model in enumerate(models):
        if model is not None:
            groups.setdefault(model.identity.digest, (model, []))[1].append(i)
    return list(groups.values())
