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
from service.store.silence import Silence

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


def asked_by(store: Store, people: int) -> list[str]:
    """What those are told who ask at the same time."""
    told: list[str] = []

    def one() -> None:
        try:
            told.append(str(ask(store)))
        except Unavailable as e:
            told.append(str(e))

    threads = [threading.Thread(target=one) for _ in range(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "somebody waits for ever"
    return told


def test_who_waits_is_told_and_one_alone_finds_out_whether_it_is_back(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.make_database("silent")
    open_store(url).close()
    store = open_store(url, migrate=False, answer_seconds=SECONDS)
    assert asked_by(store, 4) == ["0"] * 4  # so many connections are there
    with server.frozen():
        first = asked_by(store, 4)
        assert all("has not said anything for 1 s" in said for said in first), first
        time.sleep(SECONDS)  # after which somebody asks again
        found_out: list[None] = []
        note = Silence._note
        monkeypatch.setattr(Silence, "_note", lambda silence: (found_out.append(None), note(silence)))
        later = asked_by(store, 4)
        assert all("has not said anything for 1 s" in said for said in later), later
        assert len(found_out) == 1, "the others are told at once"
    time.sleep(SECONDS)
    assert ask(store) == 0
    assert asked_by(store, 4) == ["0"] * 4
    store.close()
