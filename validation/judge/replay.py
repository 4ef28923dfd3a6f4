"""Reaching stored verdicts again, from the ledger as it was then.

A ledger is only added to, so the cohorts that a verdict rested on are those that end where it says. Its policy is kept
by digest, and what else it knew (late rows, lineage, the last requests) it carries itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from bentos.errors import NotFound
from service.micros import from_micros
from service.store import Store, tables
from validation.judge.closing import read_ledger, when_closed
from validation.judge.ledger import Cohort
from validation.judge.policies import read_policies
from validation.judge.policy import OnlinePolicy
from validation.judge.trial import Recorded
from validation.judge.verdict import Verdict, judge

TOLERANCE = 1e-9
"""By how much floats may differ that were computed by other libraries or on another platform."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One stored verdict, reached again.

    Attributes:
        number: Of the verdict in the store.
        at: When it was reached first.
        experiment: The experiment's id.
        stored: What it was.
        found: What it is now; None where it cannot be reached.
        differences: What differs, field by field; floats that agree to 1e-9 are no difference.
        inexact: Fields whose floats are not the same bit for bit.
    """

    number: int
    at: datetime
    experiment: str
    stored: str
    found: str | None
    differences: tuple[str, ...]
    inexact: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the verdict and its counts are the same, and its floats to 1e-9."""
        return not self.differences


def lost_from_ledger(store: Store, experiment_id: str) -> list[str]:
    """What the ledger lacks, or says otherwise, of what stored verdicts of an experiment rested on.

    A ledger is only added to; one of which something was taken, or in which something was changed, must promote nobody.

    Args:
        store: Where verdicts and ledger are.
        experiment_id: Whose.

    Returns:
        One line a verdict whose counts are not reached again, the oldest first.

    Raises:
        Unavailable: The store does not answer.
    """
    found = []
    for one in replay(store, experiment=experiment_id):
        # Counts alone: what is computed of them may be computed otherwise by a later Gauntlet.
        counts = [text for text in one.differences if text.startswith(("evidence.counts", "evidence:"))]
        if counts:
            found.append(f"verdict {one.number} rested on {counts[0].removeprefix('evidence.counts.')}")
    return found


def replay(
    store: Store, *, number: int | None = None, experiment: str | None = None, known: Sequence[OnlinePolicy] = ()
) -> list[Replayed]:
    """Reach stored verdicts again.

    Args:
        store: Where verdicts, ledger and policies are.
        number: Which verdict; None for all.
        experiment: Those of this experiment alone; None for all.
        known: Policies beside those that the store has kept.

    Raises:
        NotFound: There is no such verdict.
        Unavailable: The store does not answer.
    """
    if number is not None and not 0 < number < 2**63:
        raise NotFound(f"there is no verdict {number}; verdicts are numbered from 1")
    table = tables.verdicts
    query = sa.select(table).order_by(table.c.number)
    if number is not None:
        query = query.where(table.c.number == number)
    if experiment is not None:
        query = query.where(table.c.experiment == experiment)
    with store.reading() as connection:
        rows = connection.execute(query).all()
    if number is not None and not rows:
        raise NotFound(f"there is no verdict {number} in the store; `gauntlet verdict --replay` lists all")
    policies = {policy.digest: policy for policy in known} | read_policies(store)
    ledgers: dict[str, list[tuple[Cohort, int]]] = {}
    found = []
    for row in rows:
        if row.experiment not in ledgers:
            closed = when_closed(store, row.experiment)
            cohorts = read_ledger(store, row.experiment)
            ledgers[row.experiment] = [(cohort, closed[cohort.start, cohort.revision]) for cohort in cohorts]
        found.append(_replay(row, ledgers[row.experiment], policies))
    return found


def _replay(row: Any, ledger: Sequence[tuple[Cohort, int]], policies: Mapping[str, OnlinePolicy]) -> Replayed:
    try:
        stored = msgspec.json.decode(row.content, type=Verdict)
    except msgspec.MsgspecError as e:
        why = (f"it cannot be read: {e}",)
        return Replayed(
            number=row.number, at=from_micros(row.at), experiment=row.experiment, stored=row.verdict, found=None,
            differences=why, inexact=(),
        )  # fmt: skip
    policy = policies.get(stored.policy_digest)
    again = None if policy is None else _judge_again(stored, policy, _known_then(stored, ledger, row.at))
    differences: tuple[str, ...] = (f"its policy {stored.policy_digest} was not kept",)
    inexact: tuple[str, ...] = ()
    if again is not None:
        # A field that was not there yet when the verdict was stored cannot differ.
        written, now = msgspec.json.decode(row.content), msgspec.to_builtins(again)
        each = [*_compared(_decided(written), _decided(now), "")]
        differences = tuple(name for name, is_close in each if not is_close)
        inexact = tuple(name for name, is_close in each if is_close)
    return Replayed(
        number=row.number,
        at=from_micros(row.at),
        experiment=row.experiment,
        stored=stored.verdict,
        found=None if again is None else again.verdict,
        differences=differences,
        inexact=inexact,
    )


def _known_then(stored: Verdict, ledger: Sequence[tuple[Cohort, int]], at: int) -> list[Cohort]:
    """The cohorts that it rested on; verdicts from before they said so rest on what was closed by then."""
    if stored.closed_through is not None:
        return [cohort for cohort, _ in ledger if cohort.end <= stored.closed_through]
    return [cohort for cohort, closed_at in ledger if closed_at <= at]


def _judge_again(stored: Verdict, policy: OnlinePolicy, cohorts: Sequence[Cohort]) -> Verdict:
    recorded = Recorded(
        id=stored.experiment,
        champion=stored.champion,
        challenger=stored.challenger,
        mode=stored.mode,
        split=stored.split,
        revision=stored.revision,
        no_treatment=stored.no_treatment,
    )
    late = stored.evidence.late if stored.evidence else 0
    return judge(cohorts, policy, recorded, lineage=stored.lineage, live=stored.live, late=late)


def _decided(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What must be the same: verdict and evidence. Reasons are sentences about them."""
    return {name: plain[name] for name in ("verdict", "evidence")}


def _compared(stored: Any, found: Any, name: str) -> Iterator[tuple[str, bool]]:
    """Every field that differs, and whether only in the last bits."""
    if isinstance(stored, Mapping) and isinstance(found, Mapping):
        for key in stored:
            yield from _compared(stored[key], found.get(key), f"{name}.{key}" if name else key)
    elif isinstance(stored, Sequence) and not isinstance(stored, str) and isinstance(found, Sequence):
        if len(stored) != len(found):
            yield f"{name}: {len(stored)} then, {len(found)} now", False
        for i, (one, other) in enumerate(zip(stored, found, strict=False)):
            yield from _compared(one, other, f"{name}[{i}]")
    elif isinstance(stored, float) or isinstance(found, float):
        if stored != found:
            yield from _compared_floats(stored, found, name)
    elif stored != found:
        yield f"{name}: {stored} then, {found} now", False


def _compared_floats(stored: Any, found: Any, name: str) -> Iterator[tuple[str, bool]]:
    are_numbers = isinstance(stored, int | float) and isinstance(found, int | float)
    is_close = are_numbers and math.isclose(stored, found, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    yield f"{name}: {stored!r} then, {found!r} now", is_close
