"""Outcomes as they land, by who had answered and whether that was right: shown while nobody is on trial, too.

It is no evidence: whose truth is told first is no fair sample, and customers count as often as they were scored. That
is what cohorts and the ledger are for. Counted is what lands while the judge runs, each outcome once.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args

import sqlalchemy as sa

from bentos.errors import GauntletError
from service.micros import to_micros
from service.prediction_log.records import Variant
from service.store import Store, tables
from validation.judge.status import Status

SETTLED = timedelta(minutes=1)
"""Outcomes are counted so long after they landed: by then the transaction that brought them has ended, whatever the
shippers' clocks say, and the predictions that they are about, which may come over another spool, have landed too."""

Result = Literal["right", "wrong"]

_LOG = logging.getLogger("gauntlet.judge")


class Told(NamedTuple):
    """What is counted by.

    Attributes:
        variant: Which answered.
        model: Digest of who that was.
        result: Whether its label was what came true.
    """

    variant: Variant
    model: str
    result: Result


class OutcomeCounter:
    """Counts outcomes of live predictions, from the first look on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._through: int | None = None
        self._counts: Counter[Told] = Counter()

    def look(self, status: Status, now: datetime) -> Mapping[Told, int]:
        """All that were counted, with what landed since the last look; of those who may answer now at least 0.

        Args:
            status: Who plays which role.
            now: The moment, with a time zone.
        """
        for told in _expected(status):
            self._counts[told] += 0
        until = to_micros(now - SETTLED)
        try:
            found = {} if self._through is None else landed(self._store, self._through, until)
        except GauntletError as e:  # the next look counts them too
            _LOG.warning("outcomes_not_counted", extra={"reason": str(e)})
        else:
            self._counts.update(found)
            self._through = until
        return dict(self._counts)


def landed(store: Store, since: int, until: int) -> dict[Told, int]:
    """Outcomes that landed within (since, until], in microseconds since 1970 UTC.

    Raises:
        Unavailable: The store does not answer.
    """
    p, o = tables.predictions.c, tables.outcomes.c
    is_champion = p.variant == "champion"
    said = sa.case((is_champion, p.champion_positive), else_=p.challenger_positive)
    model = sa.case((is_champion, p.champion), else_=p.challenger)
    about = tables.outcomes.join(tables.predictions, o.prediction_id == p.prediction_id)
    each = sa.select(p.variant, model.label("model"), (said == o.positive).label("is_right")).select_from(about)
    rows = each.where(o.landed_at > since, o.landed_at <= until, p.purpose == "live", said.is_not(None)).subquery()
    with store.reading() as connection:
        found = connection.execute(sa.select(*rows.c, sa.func.count()).group_by(*rows.c)).all()
    return {Told(variant, model, "right" if right else "wrong"): number for variant, model, right, number in found}


def _expected(status: Status) -> list[Told]:
    answering: list[tuple[Variant, str]] = [("champion", status.champion)]
    answering += [("challenger", one.challenger) for one in (status, *status.further) if one.challenger]
    return [Told(variant, model, result) for variant, model in answering for result in get_args(Result)]
