"""Tombstones: who was forgotten is known by nothing but an HMAC, and shippers honour it."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import stat
from pathlib import Path

import msgspec
import pytest
from log_toys import DAY, NOW, OLD, id_of, in_store, land, outcome, places, prediction
from shipping_toys import rows, spool_row, spooled

from bentos.errors import InvalidSetting, Refused, Unavailable
from service.micros import to_micros
from service.prediction_log import tombstones
from service.prediction_log.forgetting import forget
from service.prediction_log.shipper import Shipped, ship
from service.prediction_log.tombstones import Key, key_file_of, make_key, read_key, set_tombstone
from service.store import open_store, tables


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def key(tmp_path):
    return make_key(tmp_path / "tombstone.key")


def bury(store, key, customer, now=NOW):
    with store.writing() as connection:
        set_tombstone(connection, store, key, customer, now=to_micros(now))


def test_a_tombstone_is_the_hmac_of_the_id_and_the_key_is_its_owners_alone(tmp_path, store, key):
    secret = (tmp_path / "tombstone.key").read_bytes()
    assert len(secret) == 32
    assert stat.S_IMODE((tmp_path / "tombstone.key").stat().st_mode) == 0o600
    bury(store, key, "Zoë")
    (row,) = rows(store, tables.tombstones)
    assert row["customer"] == hmac.new(secret, "Zoë".encode(), hashlib.sha256).hexdigest()
    assert row["forgotten_at"] == to_micros(NOW)
    assert row["key"] == key.name
    assert secret.hex() not in repr(key) + row["key"]


def test_a_key_that_is_there_stays(tmp_path, key):
    assert make_key(tmp_path / "tombstone.key") == key == read_key(tmp_path / "tombstone.key")
    assert [path.name for path in tmp_path.iterdir()] == ["tombstone.key"]


def test_a_key_of_another_length_is_refused(tmp_path):
    (tmp_path / "short").write_bytes(b"x" * 31)
    with pytest.raises(InvalidSetting, match="31 bytes"):
        read_key(tmp_path / "short")


def test_the_key_lies_beside_the_spools_or_where_the_environment_says(tmp_path, monkeypatch):
    assert key_file_of(tmp_path / "spool") == tmp_path / "tombstone.key"
    monkeypatch.setenv("GAUNTLET_TOMBSTONE_KEY_FILE", "/secret/key")
    assert str(key_file_of(tmp_path / "spool")) == "/secret/key"


def test_what_was_predicted_before_is_dropped_and_counted_and_what_comes_after_is_kept(tmp_path, store, key):
    mine = {"customer_id": "me"}
    spooled(
        tmp_path / "spool",
        prediction(1, OLD, **mine),
        prediction(2, NOW - DAY, **mine),
        prediction(3, NOW - DAY),
        prediction(4, NOW, **mine),
        prediction(5, NOW - DAY, customer_id=None),
        outcome(1, OLD),
    )
    bury(store, key, "me")
    assert ship(tmp_path / "spool", store) == Shipped(predictions=3, outcomes=1, forgotten=2)
    assert in_store(store)["predictions"] == sorted([id_of(3, NOW - DAY), id_of(4, NOW), id_of(5, NOW - DAY)])
    assert ship(tmp_path / "spool", store) == Shipped()


def test_a_line_in_a_form_that_is_not_ours_is_looked_at_too(tmp_path, store, key):
    """Version 1 had no checksum, and JSON may have spaces."""
    spool = spooled(tmp_path / "spool", prediction(1, NOW + DAY))
    (segment,) = (spool / "w").glob("*.jsonl")
    plain = msgspec.to_builtins(prediction(2, OLD, customer_id="me", v=1))
    with segment.open("a") as file:
        file.write(json.dumps(plain) + "\n")
    bury(store, key, "me")
    assert ship(spool, store) == Shipped(predictions=1, forgotten=1)


def test_without_tombstones_no_key_is_read(tmp_path, store, monkeypatch):
    monkeypatch.setattr(tombstones, "read_key", lambda _path: pytest.fail("nobody needs it"))
    land(store, tmp_path, prediction(1, OLD))
    assert len(in_store(store)["predictions"]) == 1


def test_what_is_newer_than_every_tombstone_is_shipped_without_a_key(tmp_path, store):
    bury(store, Key(bytes(32)), "me", NOW - DAY)
    land(store, tmp_path, prediction(1, NOW))
    assert len(in_store(store)["predictions"]) == 1


@pytest.mark.parametrize("given", [None, b"another key, and 32 bytes of it.", b"no key"])
def test_what_is_older_waits_in_its_spool_for_the_right_key(tmp_path, store, given, monkeypatch):
    monkeypatch.setenv("GAUNTLET_TOMBSTONE_KEY_FILE", str(tmp_path / "key"))
    if given is not None:
        (tmp_path / "key").write_bytes(given)
    bury(store, Key(bytes(32)), "me")
    spooled(tmp_path / "spool", prediction(1, OLD, customer_id="me"), prediction(2, OLD))
    with pytest.raises(Unavailable, match="stays in its spool"):
        ship(tmp_path / "spool", store)
    assert in_store(store)["predictions"] == []
    assert rows(store, tables.spools) == []
    (tmp_path / "key").write_bytes(bytes(32))
    assert ship(tmp_path / "spool", store) == Shipped(predictions=1, forgotten=1)
    assert spool_row(store)["watermark"]


def test_tombstones_of_two_keys_are_refused(store, key):
    bury(store, key, "me")
    with pytest.raises(Refused, match="another key"):
        bury(store, Key(bytes(32)), "you")
    assert len(rows(store, tables.tombstones)) == 1


def test_forgetting_again_moves_the_moment_and_never_back(store, key):
    for now, moment in ((NOW, NOW), (NOW + DAY, NOW + DAY), (NOW - DAY, NOW + DAY)):
        bury(store, key, "me", now)
        assert [row["forgotten_at"] for row in rows(store, tables.tombstones)] == [to_micros(moment)]


def test_a_store_with_tombstones_and_no_key_forgets_nobody_more(tmp_path, store):
    bury(store, Key(bytes(32)), "me")
    with pytest.raises(Refused, match="give theirs"):
        forget(store, "you", places=places(tmp_path), who="ann", now=NOW)
    assert not (tmp_path / "tombstone.key").exists()


def test_a_schema_that_is_one_behind_keeps_the_forgotten_out_too(tmp_path):
    with sqlite3.connect(tmp_path / "store.db") as connection:
        connection.executescript((Path(__file__).parents[2] / "schema_2_sqlite.sql").read_text())
    connection.close()
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}", migrate=False)
    land(store, tmp_path, prediction(1, OLD, customer_id="me"), prediction(2, OLD))
    assert forget(store, "me", places=places(tmp_path), who="ann", now=NOW).predictions == 1
    assert len(in_store(store)["predictions"]) == 1
    store.close()
