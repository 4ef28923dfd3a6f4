"""Counting the store's live rows in a model's bins: encoded and counted by the very code that counts while scoring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from bentos.artifact import Contract, Encoder, Reference, floats_of
from bentos.errors import InvalidFeatures
from service.counters.features import FeatureGrid
from service.counters.rows import RowCounter
from service.micros import to_micros
from service.store import tables
from validation.drift.comparing import Counted, ModelDrift, Window, compare
from validation.drift.limits import LIMITS, Limits
from validation.statistics import row_repeats

_ROWS_AT_A_TIME = 10_000
_ROLES = ("champion", "challenger")
COLUMNS = (
    *("features", "customer_id", "variant", "champion", "challenger"),
    *("champion_probability", "challenger_probability", "champion_positive", "challenger_positive"),
)
"""Of a prediction, what is counted."""

Columns = Mapping[str, Sequence[Any]]
"""Rows of the store, by column."""


@dataclass(frozen=True, kw_only=True)
class ReferenceModel:
    """A model as drift knows it.

    Attributes:
        label: Name and version, as metrics give it.
        digest: Artifact digest, as the log gives it.
        contract: Whose rows it reads.
        reference: How training looked.
    """

    label: str
    digest: str
    contract: Contract
    reference: Reference


def drift_of(
    connection: Connection, models: Sequence[ReferenceModel], window: Window, *, limits: Limits = LIMITS
) -> tuple[ModelDrift, ...]:
    """Drift of a window's live rows from each model's training, in one pass over the rows.

    Features are counted whoever scored them, probabilities of each model whether it answered or was in the shadow.

    Args:
        connection: A reading transaction of the store.
        models: At least one; all of the same contract, as those of one Bento are.
        window: When.
        limits: From where on drift is told.

    Returns:
        One a model, in their order.
    """
    found = count_window(connection, models, window)
    return tuple(
        compare(model.reference, counted, window, model=model.label, digest=model.digest, limits=limits)
        for model, counted in zip(models, found, strict=True)
    )


def count_window(connection: Connection, models: Sequence[ReferenceModel], window: Window) -> list[Counted]:
    """What came in a window, as each model's reference counts it; arguments as for `drift_of`."""
    return count_rows(models, _live_rows(connection, window))


def count_rows(models: Sequence[ReferenceModel], parts: Iterable[Columns]) -> list[Counted]:
    """Rows of the store as each model's reference counts them.

    Args:
        models: As for `drift_of`.
        parts: The rows, as `columns_of` gives them, some at a time.
    """
    counting = _Counting(models)
    for columns in parts:
        counting.add(columns)
    return [counting.counted(place) for place in range(len(models))]


def columns_of(rows: Iterable[Sequence[Any]]) -> Columns:
    """Rows of which `COLUMNS` were selected, in that order; at least one."""
    return dict(zip(COLUMNS, zip(*rows, strict=True), strict=True))


class _Scores:
    """One model's probabilities."""

    def __init__(self, model: ReferenceModel) -> None:
        self._digest, self._edges = model.digest, np.array(model.reference.score.edges, dtype=np.float64)
        self.cells, self.total = np.zeros(len(model.reference.score.bins)), 0.0

    def add(self, columns: Columns) -> None:
        for role in _ROLES:
            digests = columns[role]
            if self._digest not in (present := set(digests)):
                continue
            values = np.array(columns[f"{role}_probability"], dtype=np.float64)  # null becomes NaN
            if len(present) > 1:
                values = values[[digest == self._digest for digest in digests]]
            values = values[~np.isnan(values)]
            cells = np.searchsorted(self._edges, values, side="right")
            self.cells += np.bincount(cells, minlength=self.cells.size)
            self.total += float(values.sum())


class _Counting:
    """All that is counted of a window's rows."""

    def __init__(self, models: Sequence[ReferenceModel]) -> None:
        references = tuple((model.label, model.reference) for model in models)
        self._grid = FeatureGrid("features", models[0].contract, references)
        self._slots = memoryview(bytearray(8 * self._grid.size)).cast("d")
        self._features = RowCounter(self._grid, self._slots)
        self._scores = [_Scores(model) for model in models]
        self._models = models
        self._customers: Counter[str | None] = Counter()
        self._answers: Counter[tuple[Any, ...]] = Counter()
        self._rows = self._unreadable = 0

    def add(self, columns: Columns) -> None:
        texts = columns["features"]
        encoded = _encode(self._grid.encoder, msgspec.json.decode(f"[{','.join(texts)}]"))
        self._features.count(encoded)
        self._rows += len(encoded)
        self._unreadable += len(texts) - len(encoded)
        self._customers.update(columns["customer_id"])
        answers = (columns[name] for name in ("variant", *_ROLES, *(f"{role}_positive" for role in _ROLES)))
        self._answers.update(zip(*answers, strict=True))
        for scores in self._scores:
            scores.add(columns)

    def counted(self, place: int) -> Counted:
        self._features.settle()
        named = [n for customer, n in self._customers.items() if customer is not None]
        model, scores, values = self._models[place], self._scores[place], self._slots.tolist()
        answers = self._answers_of(model.digest)
        return Counted(
            rows=self._rows,
            unreadable=self._unreadable,
            customers=len(named),
            repeats=row_repeats(named) if named else 1.0,
            features={one.name: tuple(self._grid.bins(one, values).values()) for one in model.reference.features},
            scores=tuple(scores.cells.tolist()),
            score_sum=scores.total,
            answered=answers.total(),
            positive=answers[True],
        )

    def _answers_of(self, digest: str) -> Counter[bool]:
        """How many answers of a model were positive, and how many were not."""
        found: Counter[bool] = Counter()
        for (variant, *digests_and_labels), n in self._answers.items():
            role = _ROLES.index(variant)
            if digests_and_labels[role] == digest:
                found[bool(digests_and_labels[len(_ROLES) + role])] += n
        return found


def _encode(encoder: Encoder, rows: Sequence[dict[str, Any]]) -> NDArray[np.float32]:
    """The rows as models read them, without those that are none of the contract's."""
    matrix = np.zeros((len(rows), encoder.width), dtype=np.float32)
    if encoder.encode_rows(rows, matrix):
        return matrix
    readable = np.zeros(len(rows), dtype=np.bool_)
    matrix.fill(0.0)
    for place, row in enumerate(rows):
        try:
            encoder.encode_into(row, floats_of(matrix[place]))
            readable[place] = True
        except InvalidFeatures:  # logged under a contract before this one
            continue
    return matrix[readable]


def _live_rows(connection: Connection, window: Window) -> Iterator[Columns]:
    p = tables.predictions.c
    query = (
        sa.select(*(p[name] for name in COLUMNS))
        .where(p.experiment.in_(_experiments(connection)), p.purpose == "live")
        .where(p.at >= to_micros(window.since), p.at < to_micros(window.until))
    )
    found = connection.execute(query.execution_options(yield_per=_ROWS_AT_A_TIME))
    for rows in found.partitions():
        yield columns_of(rows)


def _experiments(connection: Connection) -> list[str]:
    """Every experiment, each found by one step in the index by experiment and time, which then finds the window."""
    p = tables.predictions.c
    found: list[str] = []
    name = connection.execute(sa.select(sa.func.min(p.experiment))).scalar()
    while name is not None:
        found.append(name)
        name = connection.execute(sa.select(sa.func.min(p.experiment)).where(p.experiment > name)).scalar()
    return found


def window_ending(until: datetime, seconds: float) -> Window:
    """The window of so many seconds before a moment."""
    return Window(since=datetime.fromtimestamp(until.timestamp() - seconds, UTC), until=until)
