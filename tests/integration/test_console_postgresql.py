"""What the console adds up is the same on PostgreSQL as on SQLite."""

import random
from dataclasses import replace

import pytest
from postgresql_toys import running_server
from production_toys import (
    CHALLENGER,
    CHAMPION,
    HOUR,
    NOON,
    filled,
    outcome,
    prediction,
    store_with,
    toy_contract,
    toy_reference,
)

from service.console.customer.reading import read_last
from service.console.production.drift_reading import read_counted
from service.console.production.outcomes import read_last_told, read_outcomes
from service.console.production.reading import read_cells, read_newest, read_rhythm, read_riskiest, read_seen
from service.console.production.spans import Span
from service.store import open_store
from validation.drift.counting import ReferenceModel

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(5)
    made = []
    for number in range(300):
        challenger = rng.random() if rng.random() < 0.5 else None
        features = {
            "fee": rng.choice([0, 20, 33.5, 50.0, 99]),
            "plan": rng.choice(["month", "year", None, "century", 1]),
            "age": rng.randrange(100),
        }
        given = {
            "features": features,
            "customer_id": rng.choice([None, *"abcdefgh"]),
            "purpose": rng.choice(["live", "live", "live", "what_if"]),
            "challenger": None if challenger is None else CHALLENGER,
            "challenger_probability": challenger,
            "challenger_positive": None if challenger is None else challenger >= 0.5,
            "variant": "champion" if challenger is None else rng.choice(["champion", "challenger"]),
        }
        made.append(prediction(number, rng.choice([0.0, 0.3, 1.0, rng.random()]), **given))
    told = [outcome(row, rng.random() < 0.4, after=rng.randrange(HOUR)) for row in made if rng.random() < 0.7]
    return made, told


@pytest.fixture(scope="module")
def both(rows, tmp_path_factory):
    try:
        with running_server() as server:
            postgresql = filled(open_store(server.make_database("console")), *rows)
            sqlite = store_with(tmp_path_factory.mktemp("sqlite"), *rows)
            yield sqlite, postgresql
            sqlite.close()
            postgresql.close()
    except LookupError as e:
        pytest.skip(str(e))


SPAN = Span(NOON, NOON + 4 * HOUR)


def counted_in(store):
    """Sums of floats differ by their order in the last bit."""
    model = ReferenceModel(label="toy", digest=CHAMPION, contract=toy_contract(), reference=toy_reference())
    found = read_counted(store, SPAN, model, most=200)
    return replace(found, score_sum=round(found.score_sum, 9))


@pytest.mark.parametrize(
    "ask",
    [
        read_seen,
        lambda store: read_seen(store, SPAN),
        lambda store: read_newest(store, SPAN, most=40),
        read_last_told,
        lambda store: read_rhythm(store, SPAN),
        lambda store: read_riskiest(store, SPAN, at_least=0.6, most=40),
        counted_in,
        lambda store: read_last(store, "a"),
    ],
)
def test_both_databases_say_the_same(both, ask):
    sqlite, postgresql = both
    assert ask(postgresql) == ask(sqlite)


def test_both_databases_add_up_alike(both):
    sqlite, postgresql = (
        {
            (c.start, c.bin, c.band): (c.n, c.positive, c.challenger, round(c.total, 9), round(c.squares, 9))
            for c in cells
        }
        for cells in (read_cells(store, SPAN, 900_000_000, toy_contract().risk_bands) for store in both)
    )
    assert postgresql == sqlite
    assert len(sqlite) > 20


def test_both_databases_know_the_same_truths(both):
    sqlite, postgresql = (
        read_outcomes(store, SPAN, predictions=1000, window=HOUR, moment=NOON + 3 * HOUR) for store in both
    )
    assert (postgresql.n, postgresql.told, postgresql.waiting) == (sqlite.n, sqlite.told, sqlite.waiting)
    assert [(t.bin, t.positive, t.right) for t in postgresql.bins] == [
        (t.bin, t.positive, t.right) for t in sqlite.bins
    ]
    assert postgresql.brier == pytest.approx(sqlite.brier)
    assert sqlite.told
