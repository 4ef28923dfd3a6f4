"""Drift on PostgreSQL is drift on SQLite: the same rows give the same numbers."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from drift_toys import CHALLENGER, DAY, END, log, model
from log_toys import land
from postgresql_toys import running_server

from service.store import open_store
from validation.drift.comparing import ModelDrift, Window
from validation.drift.counting import drift_of

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def server():
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


def looked(url: str, place: Path) -> tuple[ModelDrift, ...]:
    rows = [
        msgspec.structs.replace(row, experiment=f"e{i % 3}", customer_id=f"c{i % 400}", challenger_probability=0.7)
        for i, row in enumerate(log(1000))
    ]
    place.mkdir()
    store = open_store(url)
    land(store, place, *rows)
    with store.reading() as connection:
        found = drift_of(
            connection, (model(), model("toy:2", CHALLENGER)), Window(since=END - DAY, until=END - DAY / 200)
        )
    store.close()
    return found


def test_both_stores_say_the_same(server, tmp_path):
    on_sqlite = looked(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "one")
    assert on_sqlite[0].rows == 1000
    assert looked(server.make_database("drift"), tmp_path / "other") == on_sqlite
