"""A PostgreSQL that is frozen: it keeps its connections, and answers nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from postgresql_toys import Server, running_server

from bentos.errors import Unavailable
from service.store import Store, open_store, tables

SECONDS = 1.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    try:
        with running_server() as server:
            yield server
    except LookupError as e:
        pytest.skip(str(e))


def ask(store: Store) -> int:
    with store.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(tables.predictions)).scalar_one())


def asked_by(store: Store, people: int) -> list[tuple[float, str]]:
    """How long each of those who ask at the same time waits, and what they are told."""
    told: list[tuple[float, str]] = []

    def one() -> None:
        began = time.monotonic()
        try:
            said = str(ask(store))
        except Unavailable as e:
            said = str(e)
        told.append((time.monotonic() - began, said))

    threads = [threading.Thread(target=one) for _ in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    return told


def test_who_waits_is_told_and_one_alone_finds_out_whether_it_is_back(server: Server) -> None:
    url = server.make_database("silent")
    open_store(url).close()
    store = open_store(url, migrate=False, answer_seconds=SECONDS)
    assert [said for _, said in asked_by(store, 4)] == ["0"] * 4  # so many connections are there
    with server.frozen():
        first = asked_by(store, 4)
        assert all("has not said anything for 1 s" in said for _, said in first), first
        assert max(waited for waited, _ in first) < 20 * SECONDS, first
        time.sleep(SECONDS)  # after which somebody asks again
        later = sorted(asked_by(store, 4))
        assert all("has not said anything for 1 s" in said for _, said in later)
        assert len([waited for waited, _ in later if waited < SECONDS]) == 3, later
        assert later[-1][0] >= SECONDS, later
    time.sleep(SECONDS)
    assert ask(store) == 0
    assert [said for _, said in asked_by(store, 4)] == ["0"] * 4
    store.close()
