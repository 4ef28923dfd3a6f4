"""The newest predictions of a span in the reference's bins, counted in the database on SQLite and PostgreSQL alike."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from bentos.artifact import Binned, Reference
from service.console.production.reading import live_in
from service.console.production.spans import Span
from service.counters.features import MISSING, UNSEEN
from service.store import Store, tables
from validation.drift.comparing import Counted

MOST = 10_000
"""Predictions that are unpacked: enough for any drift worth the name, and quick."""


def read_counted(store: Store, span: Span, reference: Reference, digest: str, *, most: int = MOST) -> Counted:
    """The newest predictions of a span, by the reference's bins.

    `validation.drift.counting` counts every row by the code that counts while scoring, which takes a second for
    100,000: a page has that time for all of its pictures.

    Args:
        store: The store.
        span: What is looked at.
        reference: Gives the bins.
        digest: Of the model whose reference it is: its own scores are compared, whichever role it had.
        most: So many predictions at most.

    Raises:
        Unavailable: The store does not answer.
    """
    p = tables.predictions.c
    own = sa.case(
        (p.champion == digest, p.champion_probability), (p.challenger == digest, p.challenger_probability), else_=None
    )
    newest = (
        sa.select(p.customer_id, p.features, own.label("score"))
        .where(*live_in(store, span))
        .order_by(p.prediction_id.desc())
        .limit(most)
        .cte("newest")
        .prefix_with("MATERIALIZED")
    )
    with store.reading() as connection:
        rows, customers, repeats = _customers(connection, newest)
        features = _features(connection, newest, reference, is_postgresql=store.is_postgresql)
        scores, score_sum = _score(connection, newest, reference.score)
    return Counted(
        rows=rows,
        unreadable=0,
        customers=customers,
        repeats=repeats,
        features=features,
        scores=scores,
        score_sum=score_sum,
        answered=0,
        positive=0,
    )


def _customers(connection: Connection, newest: sa.CTE) -> tuple[int, int, float]:
    """How many rows there are, how many customers they name, and how often one comes as a row sees it."""
    often = sa.func.count().label("often")
    named = sa.select(often).where(newest.c.customer_id.is_not(None)).group_by(newest.c.customer_id).subquery()
    sums = (sa.func.count(), sa.func.sum(named.c.often), sa.func.sum(named.c.often * named.c.often))
    rows = connection.execute(sa.select(sa.func.count()).select_from(newest)).scalar_one()
    customers, n, squares = connection.execute(sa.select(*sums)).one()
    return rows, customers, int(squares) / int(n) if n else 1.0


def _features(
    connection: Connection, newest: sa.CTE, reference: Reference, *, is_postgresql: bool
) -> dict[str, tuple[float, ...]]:
    """The counts of every feature's bins: each row is unpacked once, and what it held is counted feature by feature."""
    held = _unpacked(newest, reference, is_postgresql=is_postgresql)
    counted = [
        sa.select(sa.literal(at).label("feature"), held.c[f"f{at}"].label("held"), sa.func.count().label("n")).group_by(
            held.c[f"f{at}"]
        )
        for at in range(len(reference.features))
    ]
    found = [dict.fromkeys(binned.bins, 0) for binned in reference.features]
    for at, value, n in connection.execute(sa.union_all(*counted)):
        name = _bin(reference.features[at], value)
        if name in found[at]:
            found[at][name] += n
    return {binned.name: tuple(counts.values()) for binned, counts in zip(reference.features, found, strict=True)}


def _unpacked(newest: sa.CTE, reference: Reference, *, is_postgresql: bool) -> sa.CTE:
    """A column a feature: its category, or the number of its value's bin, as text; null where it is missing.

    In two steps, as no database looks a value up once where an expression asks for it once an edge.
    """
    if is_postgresql:
        rows = sa.select(sa.cast(newest.c.features, JSONB).label("features")).cte("rows").prefix_with("MATERIALIZED")

        def value_of(name: str) -> Any:
            return rows.c.features[name].astext
    else:
        rows = newest

        def value_of(name: str) -> Any:
            return sa.func.json_extract(rows.c.features, f'$."{name}"')

    typed = [
        sa.cast(value_of(binned.name), sa.Double if binned.edges else sa.String).label(f"v{at}")
        for at, binned in enumerate(reference.features)
    ]
    values = sa.select(*typed).select_from(rows).cte("given").prefix_with("MATERIALIZED")
    held = [_held(binned, values.c[f"v{at}"]).label(f"f{at}") for at, binned in enumerate(reference.features)]
    return sa.select(*held).cte("held").prefix_with("MATERIALIZED")


def _held(binned: Binned, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    if not binned.edges:
        return value
    steps = [(value < edge, str(at)) for at, edge in enumerate(binned.edges)]
    return sa.case((value.is_(None), None), *steps, else_=str(len(binned.edges)))


def _bin(binned: Binned, held: str | None) -> str:
    """The name of the bin that a group falls in, if there is one for it."""
    if held is None:
        return MISSING if MISSING in binned.bins else UNSEEN
    if binned.edges:
        return binned.bins[int(held)]
    return held if held in binned.bins else UNSEEN


def _score(connection: Connection, newest: sa.CTE, binned: Binned) -> tuple[tuple[float, ...], float]:
    """The counts of the score's bins, and the sum of the scores."""
    steps = [(newest.c.score < edge, at) for at, edge in enumerate(binned.edges)]
    place = sa.case(*steps, else_=len(binned.edges)).label("place")
    query = sa.select(place, sa.func.count(), sa.func.sum(newest.c.score))
    counts, total = [0.0] * len(binned.bins), 0.0
    for at, n, scores in connection.execute(query.where(newest.c.score.is_not(None)).group_by("place")):
        counts[at] += n
        total += scores
    return tuple(counts), total
