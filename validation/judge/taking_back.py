"""Taking a promotion back: the new champion turns out worse than it was judged, and the one before it is wanted again.

No verdict speaks of it, as nobody is on trial then: it takes a person's reason, and is recorded as a rollback by hand.
What the promotion spent of its lineage's margin comes back with the champion on whom it was spent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from service.micros import to_micros
from service.scoring.experiment import Experiment, swap_roles
from service.store import Store, tables
from validation.judge.audit import Change, read_changes


def promotion_in_force(store: Store, current: Experiment) -> Change | None:
    """The promotion by which the experiment file's champion reigns, as long as nobody was put on trial since.

    Raises:
        Unavailable: The store does not answer.
    """
    if current.mode != "off" or current.challenger is None:
        return None
    changes = [change for change in read_changes(store) if change.aliases != "void"]
    if not changes or changes[-1].action != "promote":
        return None
    last = changes[-1]
    if (last.champion, last.challenger) != (current.challenger, current.champion):
        return None
    since = [phase for phase in current.history if phase.revision >= (last.revision_after or 0)]
    return last if all(phase.mode == "off" for phase in since) else None


def without_promotion(current: Experiment, *, now: datetime, lead: timedelta) -> Experiment:
    """The experiment file in which the champion of before, which a promotion leaves as challenger, answers alone."""
    return msgspec.structs.replace(swap_roles(current, now=now, lead=lead), challenger=None)


def change_back(
    promotion: Change, current: Experiment, after: Experiment, *, who: str, now: datetime, reason: str
) -> Change:
    """The audit row of it: a rollback by hand of the model that was promoted."""
    return Change(
        number=0,
        at=to_micros(now),
        who=who,
        action="rollback",
        model=promotion.model,
        champion=promotion.champion,
        challenger=promotion.challenger,
        revision_before=current.revision,
        revision_after=after.revision,
        manual=True,
        reason=reason,
    )


def forget_promotion(store: Store, promotion: Change, change: Change) -> None:
    """Let the promoted trial end as rolled back, once the file says so: it counts and spends as none any more.

    Raises:
        Unavailable: The store does not answer.
    """
    if not store.has(tables.trials):
        return
    t = tables.trials
    values = {"ending": "rolled_back", "ended_at": change.at, "audit": change.number}
    values |= {"margin_spent": None, "anchor": None}
    with store.writing() as connection:
        store.lock(connection, "trials")
        connection.execute(sa.update(t).where(t.c.audit == promotion.number).values(**values))
