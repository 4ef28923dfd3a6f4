"""Policies in the store, by digest: by which rules a cohort was closed and a verdict reached can be read long after."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.store import Store, tables
from validation.judge.policy import OnlinePolicy


def keep_policy(store: Store, connection: Connection, policy: OnlinePolicy, *, moment: int) -> None:
    """Keep a policy, in the caller's transaction; a store of an earlier schema keeps none.

    Args:
        store: The store that the transaction belongs to.
        connection: In a writing transaction.
        policy: Which one. Its name is kept as it was when its rules were first seen.
        moment: Microseconds since 1970 UTC.
    """
    if store.has(tables.policies):
        content = msgspec.json.encode(policy).decode()
        store.insert_new(connection, tables.policies, [{"digest": policy.digest, "at": moment, "content": content}])


def read_policies(store: Store) -> dict[str, OnlinePolicy]:
    """Every policy that was kept, by digest.

    Raises:
        Unavailable: The store does not answer.
    """
    if not store.has(tables.policies):
        return {}
    with store.reading() as connection:
        rows = connection.execute(sa.select(tables.policies.c.digest, tables.policies.c.content)).all()
    return {digest: msgspec.json.decode(content, type=OnlinePolicy) for digest, content in rows}
