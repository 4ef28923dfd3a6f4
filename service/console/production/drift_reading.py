"""The newest predictions of a span in the reference's bins, by the code that counts while scoring."""

from __future__ import annotations

import sqlalchemy as sa

from service.console.production.reading import live_in
from service.console.production.spans import Span
from service.store import Store, tables
from validation.drift.comparing import Counted
from validation.drift.counting import COLUMNS, ReferenceModel, columns_of, count_rows

MOST = 10_000
"""Predictions that are unpacked: enough for any drift worth the name. Ten times as many take a second, and a page has
that time for all of its pictures."""


def read_counted(store: Store, span: Span, model: ReferenceModel, *, most: int = MOST) -> Counted:
    """The newest predictions of a span, by a reference's bins.

    Args:
        store: The store.
        span: What is looked at.
        model: Whose reference gives the bins; its own scores are compared, whichever role it had.
        most: So many predictions at most.

    Raises:
        Unavailable: The store does not answer.
    """
    p = tables.predictions.c
    newest = sa.select(*(p[name] for name in COLUMNS)).where(*live_in(store, span))
    with store.reading() as connection:
        rows = connection.execute(newest.order_by(p.prediction_id.desc()).limit(most)).all()
    (counted,) = count_rows([model], [columns_of(rows)] if rows else [])
    return counted
