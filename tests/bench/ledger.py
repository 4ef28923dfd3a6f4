"""How long a million customers take to be closed into the ledger, and judged: `python -m tests.bench.ledger`.

Predictions and truths are in the store already (each customer one prediction, a second apart, and its truth); all that
is due is closed in one call, as after a long absence of the judge, and judged, on SQLite and on PostgreSQL, whose
autovacuum has been there, as it is wherever rows have lain for a minute. Then the newest are counted by the groups that
the contract protects, which the judge does after every closing.
`--customers` changes how many, `--rounds` how often closing is repeated from an empty ledger.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from service.store import Store, open_store, tables
from tests.bench.counting import USE_CASE
from tests.bench.machine import look, progress, say
from tests.bench.shipping import DAY, START, fill
from tests.integration.postgresql_toys import driver_url, running_server
from training.use_case import load_use_case
from validation.judge.closing import close_cohorts, read_ledger
from validation.judge.evidence import weigh
from validation.judge.policy import OnlinePolicy, load_policy
from validation.judge.protected import attributes_of
from validation.judge.tallying import tally_groups

ROOT = Path(__file__).resolve().parents[2]


def policy() -> OnlinePolicy:
    """The shipped one."""
    return load_policy(ROOT / "validation" / "policies" / "online.yaml")


def measure(
    store: Store, customers: int, rounds: int, *, settled: Callable[[], object] = lambda: None
) -> Iterator[tuple[float, float, float, float, int]]:
    """Seconds to close, to read the ledger, to weigh it, to count protected groups, and customers closed; once a round.

    Args:
        store: An empty one.
        customers: How many.
        rounds: How often.
        settled: Is called when they are in the store.
    """
    progress(f"{customers:,} customers into {store.name}")
    experiment, rules = fill(store, customers, customers), policy()
    attributes = attributes_of(load_use_case(USE_CASE).contract, rules)
    now = datetime.fromtimestamp((START + customers * 1_000_000 + 40 * DAY) / 1e6, UTC) + timedelta(days=1)
    _let_cohorts_close(store, now)
    settled()
    for number in range(rounds):
        progress(f"round {number + 1} of {rounds}")
        _empty_ledger(store)
        began = time.perf_counter()
        close_cohorts(store, experiment, rules, now=now)
        closed = time.perf_counter()
        cohorts = read_ledger(store, experiment)
        read = time.perf_counter()
        evidence = weigh(cohorts, rules)
        weighed = time.perf_counter()
        tally_groups(store, experiment, rules, attributes)
        tallied = time.perf_counter()
        yield closed - began, read - closed, weighed - read, tallied - weighed, evidence.counts.n


def count_rows(url: str) -> None:
    """What autovacuum does within a minute or so; a planner that knows of no rows would look each of them up."""
    engine = sa.create_engine(driver_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    engine.dispose()


def _let_cohorts_close(store: Store, now: datetime) -> None:
    """As if the one spool there is had been shipped to its end."""
    values = {"worker": "w", "spool_id": "s", "segment": 0, "offset": 0, "watermark": int(now.timestamp() * 1e6)}
    with store.writing() as connection:
        connection.execute(sa.delete(tables.spools))
        connection.execute(tables.spools.insert().values(**values))


def _empty_ledger(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(sa.delete(tables.cohorts))
        connection.execute(sa.delete(tables.closings))


def _tell(kind: str, rows: Sequence[tuple[float, float, float, float, int]]) -> None:
    for close, read, weighing, groups, counted in rows:
        whole = close + read + weighing + groups
        say(f"| {kind} | {counted:,} | {close:.2f} | {read:.3f} | {weighing:.3f} | {groups:.2f} | **{whole:.2f}** |")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ledger", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    for line in look().to_lines():
        say(line)
    say("\n| store | customers counted | close, s | read, s | weigh, s | groups, s | all, s |")
    say("|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        store = open_store(f"sqlite:///{place}/store.db")
        _tell("SQLite", list(measure(store, options.customers, options.rounds)))
        store.close()
    with running_server() as server:
        url = server.make_database("judging")
        store = open_store(url)
        found = measure(store, options.customers, options.rounds, settled=lambda: count_rows(url))
        _tell("PostgreSQL", list(found))
        store.close()
    say(f"\nPeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
