"""What forgetting a person cannot reach, and when each of these things expires."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from service.prediction_log.tombstones import KEY_VARIABLE
from service.store import Store, tables


class Beyond(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is out of reach.

    Attributes:
        what: Where the person may still be found.
        expires: When that ends, or what somebody has to do.
    """

    what: str
    expires: str

    def __str__(self) -> str:
        return f"{self.what}: {self.expires}"


def beyond_reach(
    connection: Connection,
    store: Store,
    *,
    spools: Path,
    archives: Sequence[Path],
    left_alone: Iterable[str],
    is_log_empty: bool,
) -> list[Beyond]:
    """Everything of this installation that was not erased, what is known to be there first.

    Args:
        connection: In any transaction of the store.
        store: The store.
        spools: The folder of spools that was looked at.
        archives: The archives that were looked at.
        left_alone: Spools that live processes write to.
        is_log_empty: Whether SQLite's write-ahead log could be emptied.
    """
    found = [
        Beyond(
            what=f"the spool {spools / worker}, which a live process writes to",
            expires="what is not shipped yet is dropped by the tombstone; what is shipped is deleted with its segment, "
            "within some minutes (GAUNTLET_SPOOL_SEGMENT_SECONDS)",
        )
        for worker in left_alone
    ]
    found += _other_spools(connection, spools)
    found += _other_archives(connection, store, archives)
    if not is_log_empty:
        found.append(Beyond(what="the store's write-ahead log, from which somebody reads", expires=_LOG_EXPIRES))
    found.append(_leavings(store))
    return found + [Beyond(what=what, expires=expires) for what, expires in _ALWAYS]


def _other_spools(connection: Connection, spools: Path) -> list[Beyond]:
    table = tables.spools
    names = connection.execute(sa.select(table.c.worker).where(table.c.lost_at.is_(None)).order_by(table.c.worker))
    elsewhere = [name for name in names.scalars() if not (spools / name).is_dir()]
    if not elsewhere:
        return []
    return [
        Beyond(
            what=f"spools on other machines ({', '.join(elsewhere)})",
            expires="the tombstone drops what they bring, and segments are deleted once they are shipped; every "
            f"shipper needs the key for that ({KEY_VARIABLE})",
        )
    ]


def _other_archives(connection: Connection, store: Store, archives: Sequence[Path]) -> list[Beyond]:
    known = {str(archive.resolve()) for archive in archives if archive.is_dir()}
    contents = sa.select(tables.upkeep.c.content).where(tables.upkeep.c.action == "retain")
    retained = connection.execute(contents).scalars() if store.has(tables.upkeep) else ()
    named = {msgspec.json.decode(content)["archive"] for content in retained}
    return [
        Beyond(
            what=f"the archive {place}, to which retention wrote",
            expires="never by itself; where it lies, run the same command with --archive, or delete it there",
        )
        for place in sorted(named - known)
    ]


def _leavings(store: Store) -> Beyond:
    if store.is_postgresql:
        return Beyond(
            what="PostgreSQL's own files: deleted rows and the write-ahead log",
            expires="with the next VACUUM of predictions, outcomes and treatments (autovacuum comes by itself), and "
            "when the log's segments are recycled or, where they are archived, with that archive",
        )
    return Beyond(
        what="blocks of the disk that held deleted data",
        expires="when the file system writes to them again; the store's own pages were overwritten",
    )


_LOG_EXPIRES = "when the log is begun again, after the last reader has ended; the same command again empties it"

_ALWAYS = (
    (
        "backups of the store, its replicas' delayed copies, snapshots of volumes",
        "as your backups do; after restoring one from before this moment, run the same command again",
    ),
    (
        "data that models were trained on: DIR/data, your own files, tables",
        "as its owner decides; take the customer out before the next training",
    ),
    (
        "MLflow's runs and artifacts: fitted models, bins and counts, no rows of the log",
        "when the run or model version is deleted (mlflow gc)",
    ),
    (
        "what people took elsewhere: files of `gauntlet log export` and of score-file, query results",
        "never by itself; ask those who may read the store",
    ),
    (
        "logs: by convention none of ours holds a customer id, features or an outcome (prediction ids do appear); "
        "a proxy's may, where it logs bodies",
        "as your logs do",
    ),
)
