"""The newest predictions of a span in the reference's bins, counted in the database on SQLite and PostgreSQL alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection

from bentos.artifact import Binned, Reference
from service.console.production.drift import Sample
from service.console.production.reading import live_in
from service.console.production.spans import Span
from service.counters.features import MISSING, UNSEEN
from service.store import Store, tables

MOST = 20_000
"""Predictions that are unpacked: enough for any drift worth the name, and quick."""

_EMPTY = -1
"""The number of the bin of a value that is missing."""


def read_sample(store: Store, span: Span, reference: Reference, digest: str, *, most: int = MOST) -> Sample:
    """The newest predictions of a span, by the reference's bins.

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
        .where(*live_in(span))
        .order_by(p.prediction_id.desc())
        .limit(most)
        .cte("newest")
    )
    with store.reading() as connection:
        n, repeats = _repeats(connection, newest)
        counts = _features(connection, newest, reference, is_postgresql=store.is_postgresql)
        counts["score"] = _score(connection, newest, reference.score)
    return Sample(n=n, repeats=repeats, counts=counts)


def _repeats(connection: Connection, newest: sa.CTE) -> tuple[int, float]:
    """How many rows there are, and how often one customer comes among them; rows without an id are one each."""
    often = sa.func.count().label("often")
    named = sa.select(often).where(newest.c.customer_id.is_not(None)).group_by(newest.c.customer_id).subquery()
    squares = sa.select(sa.func.coalesce(sa.func.sum(named.c.often * named.c.often), 0))
    n, without = connection.execute(
        sa.select(sa.func.count(), sa.func.count().filter(newest.c.customer_id.is_(None))).select_from(newest)
    ).one()
    weighted = int(connection.execute(squares).scalar_one()) + without
    return n, weighted / n if n else 1.0


def _features(
    connection: Connection, newest: sa.CTE, reference: Reference, *, is_postgresql: bool
) -> dict[str, tuple[int, ...]]:
    is_missing: sa.ColumnElement[bool]
    if is_postgresql:
        pairs = sa.func.jsonb_each_text(sa.cast(newest.c.features, JSONB)).table_valued("key", "value")
        is_missing = pairs.c.value.is_(None)
    else:
        pairs = sa.func.json_each(newest.c.features).table_valued("key", "value", "type")
        is_missing = pairs.c.type == "null"
    numbers = {binned.name: binned for binned in reference.features if binned.edges}
    place = _place(pairs, is_missing, numbers)
    text = sa.case((pairs.c.key.in_(list(numbers)), None), else_=sa.cast(pairs.c.value, sa.String)).label("text")
    keys = (pairs.c.key.label("key"), place.label("place"), text)
    query = (
        sa.select(*keys, sa.func.count()).select_from(newest.join(pairs, sa.true())).group_by("key", "place", "text")
    )
    found: dict[str, dict[str, int]] = {binned.name: dict.fromkeys(binned.bins, 0) for binned in reference.features}
    by_name = {binned.name: binned for binned in reference.features}
    for key, at, value, n in connection.execute(query):
        if key in by_name:
            found[key][_bin(by_name[key], at, value, found[key])] += n
    return {name: tuple(counts.values()) for name, counts in found.items()}


def _place(pairs: Any, is_missing: Any, numbers: Mapping[str, Binned]) -> sa.ColumnElement[Any]:
    """The number of a numeric value's bin; `_EMPTY` where it is missing, and 0 for categories."""
    value = sa.cast(pairs.c.value, sa.Double)
    whens: list[tuple[Any, Any]] = [(is_missing, _EMPTY)]
    for name, binned in numbers.items():
        steps = [(value < edge, at) for at, edge in enumerate(binned.edges)]
        whens.append((pairs.c.key == name, sa.case(*steps, else_=len(binned.edges))))
    return sa.case(*whens, else_=0)


def _bin(binned: Binned, place: int, text: str | None, known: Mapping[str, int]) -> str:
    """The name of the bin that a group falls in."""
    if place == _EMPTY:
        return MISSING if MISSING in known else UNSEEN
    if binned.edges:
        return binned.bins[place]
    return text if text in known and text is not None else UNSEEN


def _score(connection: Connection, newest: sa.CTE, binned: Binned) -> tuple[int, ...]:
    steps = [(newest.c.score < edge, at) for at, edge in enumerate(binned.edges)]
    place = sa.case(*steps, else_=len(binned.edges)).label("place")
    query = sa.select(place, sa.func.count()).where(newest.c.score.is_not(None)).group_by("place")
    counts = [0] * len(binned.bins)
    for at, n in connection.execute(query):
        counts[at] += n
    return tuple(counts)
