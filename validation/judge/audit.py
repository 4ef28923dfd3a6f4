"""The audit: who changed roles, when, on which verdict, and whether the registry's aliases followed."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.micros import from_micros, to_micros
from service.store import Store, tables
from validation.judge.trials import reopen_trial
from validation.judge.verdict import Verdict

Action = Literal["promote", "rollback", "bootstrap"]
Aliases = Literal["pending", "moved", "void"]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One change of roles, as its audit row says it.

    Attributes:
        number: Of the audit row.
        at: When, microseconds since 1970 UTC.
        who: Who asked for it.
        action: What was done.
        model: Registered name.
        champion: Digest of the champion before the change; of the first one after it for `bootstrap`.
        challenger: Digest of the challenger before the change.
        revision_before: Of the experiment file.
        revision_after: Of the experiment file.
        verdict: On which verdict; None where there was none.
        manual: Whether a person decided without the verdict's saying so (a rollback only).
        reason: The person's reason.
        aliases: `pending` until the registry has followed, then `moved`; `void`: the file never changed.
        note: Why it is pending.
    """

    number: int
    at: int
    who: str
    action: Action
    model: str
    champion: str | None
    challenger: str | None = None
    revision_before: int | None = None
    revision_after: int | None = None
    verdict: Verdict | None = None
    manual: bool = False
    reason: str | None = None
    aliases: Aliases = "pending"
    note: str | None = None


def record(connection: Connection, change: Change) -> Change:
    """Write an audit row; the change comes back with its number."""
    verdict = change.verdict
    row = {
        name: getattr(change, name) for name in change.__struct_fields__ if name not in ("number", "model", "verdict")
    }
    row |= {
        "subject": change.model,
        "verdict": verdict and verdict.verdict,
        "evidence": verdict and msgspec.json.encode(verdict).decode(),
        "as_of": to_micros(verdict.as_of) if verdict and verdict.as_of else None,
        "provisional": bool(verdict and verdict.provisional),
    }
    number = connection.execute(tables.audit.insert().values(**row).returning(tables.audit.c.number)).scalar_one()
    return msgspec.structs.replace(change, number=number)


def settle(store: Store, change: Change, aliases: Aliases, note: str | None = None) -> Change:
    """Say in a change's audit row how far the registry has followed; one that is void has ended no trial."""
    table = tables.audit
    with store.writing() as connection:
        if aliases == "void":
            reopen_trial(store, connection, audit=change.number)
        connection.execute(sa.update(table).where(table.c.number == change.number).values(aliases=aliases, note=note))
    return msgspec.structs.replace(change, aliases=aliases, note=note)


def read_changes(store: Store, *, pending_only: bool = False) -> list[Change]:
    """The changes of roles, the oldest first.

    Raises:
        Unavailable: The store does not answer.
    """
    table = tables.audit
    query = sa.select(table).where(table.c.action != "spool_lost").order_by(table.c.number)
    if pending_only:
        query = query.where(table.c.aliases == "pending")
    with store.reading() as connection:
        return [_change_of(row) for row in connection.execute(query).mappings()]


def _change_of(row: Any) -> Change:
    own = {name: row[name] for name in Change.__struct_fields__ if name not in ("model", "verdict")}
    verdict = None if row["evidence"] is None else msgspec.json.decode(row["evidence"], type=Verdict)
    return Change(**own, model=row["subject"], verdict=verdict)


def describe(change: Change) -> str:
    """The change in one or two lines for people."""
    when = f"{from_micros(change.at):%Y-%m-%d %H:%M:%S} UTC"
    done = {
        "promote": f"promoted {change.challenger}; {change.champion} is archived",
        "rollback": f"rolled back {change.challenger}; {change.champion} is champion",
        "bootstrap": f"{change.champion} is the first champion",
    }[change.action]
    lines = [f"{change.model}: {done} ({change.who}, {when}, audit row {change.number})"]
    if change.verdict is not None and change.verdict.provisional and not change.manual:
        lines.append(
            f"PROVISIONAL: decided as of {change.verdict.as_of:%Y-%m-%d %H:%M} UTC, before its cohorts could close; "
            "the audit row says so, and it cannot be replayed from the ledger"
        )
    if change.aliases == "pending":
        lines.append(f"the registry has not followed yet: {change.note}; the same command again finishes it")
    return "\n".join(lines)
