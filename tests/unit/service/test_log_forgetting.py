"""`gauntlet forget`: one person goes from everywhere, nobody else does, and nothing comes back."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from log_toys import (
    DAY,
    ME,
    NOW,
    OLD,
    all_about,
    bytes_under,
    id_of,
    in_archive,
    in_store,
    land,
    outcome,
    places,
    prediction,
)
from shipping_toys import rows, spool_row, spooled
from spool_toys import ids_in

import gauntlet
from bentos.errors import InvalidSetting, Refused
from service.micros import to_micros
from service.prediction_log.forgetting import forget
from service.prediction_log.lines import encode_line
from service.prediction_log.retention import retain
from service.prediction_log.shipper import Shipped, ship
from service.prediction_log.spool import Spool
from service.prediction_log.upkeep import alone
from service.store import open_store, tables

MINE = {"customer_id": ME}
TABLES = ("predictions", "outcomes", "treatments")


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def run(store, tmp_path, customer=ME, *, now=NOW, **options):
    return forget(store, customer, places=places(tmp_path), who="ann", now=now, **options)


def test_every_row_about_the_person_goes_and_no_other(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE), *all_about(2, OLD + DAY, experiment="f", **MINE), *all_about(3))
    erased = run(store, tmp_path)
    assert (erased.predictions, erased.outcomes, erased.treatments) == (2, 2, 2)
    assert in_store(store) == {name: [id_of(3, OLD)] for name in TABLES}


def test_the_id_stands_nowhere_afterwards_byte_for_byte(store, tmp_path):
    """Whoever worked there has ended: store with its log, spools, archive and dead letters were all reached."""
    land(store, tmp_path, *all_about(1, **MINE), *all_about(2, NOW - DAY, **MINE), *all_about(3))
    (tmp_path / "spool" / "w" / "dead-letters.txt").write_bytes(
        b'{"prediction_id":"x","customer_id":"%s","a' % ME.encode()
    )
    retain(store, tmp_path / "archive", days=60, on_trial=(), who="ann", now=NOW)
    spooled(tmp_path / "spool", prediction(4, NOW - DAY, **MINE), worker="never-shipped")
    holding = {name for name, content in bytes_under(tmp_path).items() if ME.encode() in content}
    assert {"spool/w/000001.jsonl", "spool/w/dead-letters.txt", "spool/never-shipped/000001.jsonl"} < holding
    run(store, tmp_path)
    store.close()
    assert [name for name, content in bytes_under(tmp_path).items() if ME.encode() in content] == []
    assert len(in_archive(tmp_path / "archive")["predictions"]) == 1


def test_pages_that_nobody_uses_any_more_are_overwritten_whatever_sqlite_was_built_with(store, tmp_path):
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar_one() == 1
    land(store, tmp_path, *(prediction(n, OLD, features={"note": ME * 50}, **MINE) for n in range(200)))
    run(store, tmp_path)
    store.close()
    assert ME.encode() not in b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))


def test_archived_rows_go_with_their_truths_and_the_rest_of_the_month_stays(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE), *all_about(2), *all_about(3, OLD + 25 * DAY, **MINE))
    retain(store, tmp_path / "archive", days=60, on_trial=(), who="ann", now=NOW)
    erased = run(store, tmp_path)
    assert sorted(erased.archives.values()) == [1] * 6
    assert in_archive(tmp_path / "archive") == {name: [id_of(2, OLD)] for name in TABLES}
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        f"{t}-2026-03.parquet" for t in sorted(TABLES)
    ]


def test_a_truth_in_the_store_of_a_prediction_in_the_archive_goes_too(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    retain(store, tmp_path / "archive", days=60, on_trial=(), who="ann", now=NOW)
    land(store, tmp_path, outcome(1, received_at=9), worker="late")
    assert run(store, tmp_path).outcomes == 1
    assert in_store(store)["outcomes"] == []


def test_a_spool_whose_owner_is_gone_loses_the_persons_lines_and_keeps_its_place(store, tmp_path):
    records = [record for n in range(6) for record in all_about(n, NOW - DAY, **(MINE if n % 2 else {}))]
    spool = spooled(tmp_path / "spool", *records[:9])
    ship(spool, store)
    (segment,) = (spool / "w").glob("*.jsonl")
    with segment.open("ab") as file:
        file.write(b"".join(encode_line(record) for record in records[9:]))
    erased = run(store, tmp_path)
    assert erased.spools == {"w": 9}
    kept = [id_of(n, NOW - DAY) for n in (0, 2, 4)]
    assert sorted(set(ids_in(spool / "w"))) == kept
    assert spool_row(store)["offset"] == len(b"".join(segment.read_bytes().splitlines(keepends=True)[:6]))
    assert ship(spool, store) == Shipped(predictions=1, outcomes=1, treatments=1)
    assert in_store(store) == dict.fromkeys(TABLES, kept)


def test_a_spool_of_a_live_owner_is_left_alone_and_told_and_the_tombstone_drops_what_it_brings(store, tmp_path):
    spool = Spool(tmp_path / "spool", "w")
    spool.append(prediction(1, NOW - DAY, **MINE))
    erased = run(store, tmp_path)
    assert (erased.spools, erased.left_alone) == ({}, {"w": 1})
    assert any("live process" in one.what for one in erased.beyond)
    assert ship(tmp_path / "spool", store) == Shipped(forgotten=1)
    spool.close()


def test_a_spool_that_comes_late_brings_nobody_back_and_who_comes_back_is_kept(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    run(store, tmp_path)
    land(store, tmp_path, *all_about(2, NOW - DAY, **MINE), *all_about(3, NOW + DAY, **MINE), worker="late")
    assert in_store(store)["predictions"] == [id_of(3, NOW + DAY)]


def test_a_worker_whose_clock_is_ahead_brings_nothing_back(store, tmp_path):
    """What it wrote before us carries a time after us."""
    land(store, tmp_path, prediction(1, NOW + DAY / 100, **MINE))
    run(store, tmp_path)
    land(store, tmp_path, prediction(1, NOW + DAY / 100, **MINE), worker="again")
    assert in_store(store)["predictions"] == []


def test_a_truth_that_comes_late_resurrects_nothing(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    run(store, tmp_path)
    land(store, tmp_path, outcome(1), worker="late")
    assert in_store(store)["predictions"] == []


@pytest.mark.parametrize(
    ("line", "goes"),
    [
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id":"%s","purp' % ME.encode(), True),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id":"%s' % ME.encode()[:9], True),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id": "customer\\u002dno-7590"}', True),
        (b'{"kind":"outcome","prediction_id":"%s","positive":maybe}' % id_of(1, OLD).encode(), True),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id":"%s0","purp' % ME.encode(), False),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id":"other', False),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"customer_id":"', False),
        (b'{"kind":"prediction","prediction_id":"x","at":1,"cust', False),
        (b"\xff\x00", False),
    ],
)
def test_dead_letters_that_name_the_person_go_and_others_stay(store, tmp_path, line, goes):
    land(store, tmp_path, prediction(1, OLD, **MINE))
    letters = tmp_path / "spool" / "w" / "dead-letters.txt"
    letters.write_bytes(b"another\n" + line + b"\n")
    row = {"worker": "w", "spool_id": "i", "segment": 1, "offset": 2, "line": line, "landed_at": 3}
    with store.writing() as connection:
        connection.execute(tables.dead_letters.insert().values(**row))
    assert run(store, tmp_path).dead_letters == (2 if goes else 0)
    assert letters.read_bytes() == b"another\n" + (b"" if goes else line + b"\n")
    assert len(rows(store, tables.dead_letters)) == (0 if goes else 1)


def test_a_dry_run_counts_the_same_and_changes_nothing(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE), *all_about(2, NOW - DAY, **MINE))
    retain(store, tmp_path / "archive", days=60, on_trial=(), who="ann", now=NOW)
    before = bytes_under(tmp_path / "spool"), bytes_under(tmp_path / "archive"), in_store(store)
    dry = run(store, tmp_path, dry_run=True)
    assert (bytes_under(tmp_path / "spool"), bytes_under(tmp_path / "archive"), in_store(store)) == before
    assert rows(store, tables.tombstones) == []
    assert not (tmp_path / "tombstone.key").exists()
    assert dry.tombstone is None
    wet = run(store, tmp_path)
    for name in ("predictions", "outcomes", "treatments", "archives", "spools", "dead_letters"):
        assert getattr(dry, name) == getattr(wet, name), name


def test_the_record_names_nobody(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    erased = run(store, tmp_path)
    (row,) = rows(store, tables.upkeep)
    assert (row["action"], row["who"], row["subject"]) == ("forget", "ann", erased.tombstone)
    assert json.loads(row["content"])["predictions"] == 1
    assert ME not in str(dict(row)) + str(rows(store, tables.tombstones))


def test_forgetting_twice_finds_nothing_more(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    first = run(store, tmp_path)
    second = run(store, tmp_path, now=NOW + DAY)
    assert (second.tombstone, second.predictions, second.spools) == (first.tombstone, 0, {})


def test_a_customer_nobody_heard_of_gets_a_tombstone(store, tmp_path):
    assert run(store, tmp_path, "nobody").predictions == 0
    land(store, tmp_path, prediction(1, NOW - DAY, customer_id="nobody"))
    assert in_store(store)["predictions"] == []


@pytest.mark.parametrize("customer", ["Zoë Ünïcode", 'quote " and \\ slash', "tab\tline", "'; DROP TABLE predictions"])
def test_any_id_can_be_forgotten(store, tmp_path, customer):
    land(store, tmp_path, *all_about(1, customer_id=customer), *all_about(2))
    erased = run(store, tmp_path, customer)
    assert (erased.predictions, erased.spools) == (1, {"w": 3})
    assert in_store(store)["predictions"] == [id_of(2, OLD)]


@pytest.mark.parametrize("customer", ["", "\udc80"])
def test_what_is_no_id_is_refused(store, tmp_path, customer):
    with pytest.raises(InvalidSetting, match="CUSTOMER"):
        run(store, tmp_path, customer)
    assert rows(store, tables.tombstones) == []


def test_closed_counts_stay(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    closing = {"experiment": "e", "closed_through": to_micros(NOW), "closed_at": to_micros(NOW)}
    with store.writing() as connection:
        connection.execute(tables.closings.insert().values(**closing))
    run(store, tmp_path)
    assert [dict(row) for row in rows(store, tables.closings)] == [closing]


def test_it_says_what_it_cannot_reach_and_when_that_expires(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    retain(store, tmp_path / "elsewhere", days=60, on_trial=(), who="ann", now=NOW)
    with store.writing() as connection:
        fresh = {"worker": "far-away", "spool_id": "i", "segment": 0, "offset": 0, "watermark": 0}
        connection.execute(tables.spools.insert().values(**fresh))
    beyond = {one.what: one.expires for one in run(store, tmp_path).beyond}
    text = "\n".join(beyond)
    for word in ("far-away", str(tmp_path / "elsewhere"), "backups", "MLflow", "trained on", "log export", "logs"):
        assert word in text, word
    assert all(beyond.values())


def test_somebody_elses_retention_is_waited_for(store, tmp_path):
    other = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with alone(other), pytest.raises(Refused, match="at work"):
        run(store, tmp_path)
    other.close()
    assert rows(store, tables.tombstones) == []


def test_a_reader_who_keeps_the_stores_log_open_is_told(store, tmp_path, monkeypatch):
    land(store, tmp_path, *all_about(1, **MINE))
    from service.prediction_log import forgetting

    really = forgetting.sqlite3.connect
    monkeypatch.setattr(forgetting.sqlite3, "connect", lambda name, **given: really(name, **{"timeout": 0.05} | given))
    other = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with other.reading() as connection:
        connection.execute(tables.predictions.select()).all()
        erased = run(store, tmp_path)
    other.close()
    assert any("write-ahead log" in one.what for one in erased.beyond)
    again = run(store, tmp_path)
    assert not any("from which somebody reads" in one.what for one in again.beyond)


def test_the_command_reads_the_id_from_stdin_and_tells_of_pins(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    store.close()
    (tmp_path / "experiment.yaml").write_text(
        "revision: 1\neffective_from: '2026-01-01T00:00:00Z'\nmode: 'off'\nsplit: 0.0\nsalt: s\n"
        f"champion: 'sha256:{'a' * 64}'\npins:\n- variant: champion\n  customers: [{ME}]\n"
    )
    found = CliRunner().invoke(gauntlet.cli, ["forget", "-", "--folder", str(tmp_path)], input=f"{ME}\n")
    assert found.exception is None
    assert "store: 1 predictions, 1 outcomes, 1 treatments" in found.stdout
    assert "pins this customer" in found.stderr
    assert ME not in found.output


def test_the_command_says_where_nothing_named_the_id(store, tmp_path):
    land(store, tmp_path, *all_about(1, **MINE))
    store.close()
    found = CliRunner().invoke(gauntlet.cli, ["forget", "somebody else", "--folder", str(tmp_path)])
    assert found.exception is None
    assert "nothing names this id" in found.stderr
    again = CliRunner().invoke(gauntlet.cli, ["forget", ME, "--folder", str(tmp_path)])
    assert "nothing names this id" not in again.stderr
