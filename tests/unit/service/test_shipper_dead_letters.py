"""Dead letters: what is no record, or cannot be held, is kept and told, and holds up nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from shipping_toys import NOW, ids, outcome, prediction, rows, spooled

from service.prediction_log.lines import encode_line
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import DEAD_LETTERS, Shipped, ship
from service.store import open_store, tables
from service.store import tables as known


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def with_bad_lines(folder, *lines):
    spooled(folder, prediction(1))
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines) + encode_line(prediction(2)))
    return folder


def test_a_bad_line_is_logged_with_its_place_and_never_with_its_content(tmp_path, store, caplog):
    folder = with_bad_lines(tmp_path / "spool", b"secret of a customer", b"another")
    ship(folder, store)
    told = [record for record in caplog.records if record.message == "bad_line"]
    first = len(encode_line(prediction(1)))
    assert [(each.worker, each.offset, each.length_bytes) for each in told] == [("w", first, 20), ("w", first + 21, 7)]
    assert all(each.kept_in == "file" for each in told)
    assert "secret" not in " ".join(str(each.__dict__) for each in caplog.records)
    (segment,) = segments_of(folder / "w")
    assert segment.read_bytes()[told[0].offset :].startswith(b"secret of a customer\n")


def test_where_the_file_cannot_be_written_the_store_keeps_dead_letters(tmp_path, store, caplog):
    folder = with_bad_lines(tmp_path / "spool", b"\xff one", b"two")
    (folder / "w" / DEAD_LETTERS).symlink_to("/dev/full")
    assert ship(folder, store, now=NOW) == Shipped(predictions=2, bad_lines=2)
    assert ids(store) == ["p1", "p2"]
    assert [row["line"] for row in rows(store, tables.dead_letters)] == [b"\xff one", b"two"]
    assert {record.kept_in for record in caplog.records if record.message == "bad_line"} == {"store"}


def test_where_neither_file_nor_store_takes_dead_letters_nothing_moves_until_one_does(tmp_path, store):
    folder = with_bad_lines(tmp_path / "spool", b"two")
    (folder / "w" / DEAD_LETTERS).symlink_to("/dev/full")
    with store.writing() as connection:
        connection.execute(sa.text("ALTER TABLE dead_letters RENAME TO away"))
    with pytest.raises(Exception, match="no such table: dead_letters"):
        ship(folder, store)
    assert ids(store) == []
    with store.writing() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO dead_letters"))
    assert ship(folder, store) == Shipped(predictions=2, bad_lines=1)


def test_what_the_store_cannot_hold_is_found_among_thousands(tmp_path, store):
    bad = {7, 500, 501, 2999}
    records = [outcome(number, received_at=2**63 if number in bad else number) for number in range(3000)]
    folder = spooled(tmp_path / "spool", *records)
    assert ship(folder, store) == Shipped(outcomes=2996, bad_lines=4)
    kept = (folder / "w" / DEAD_LETTERS).read_bytes()
    assert kept == b"".join(encode_line(records[number]) for number in sorted(bad))
    assert len(ids(store, known.outcomes)) == 2996


def test_of_many_bad_lines_only_some_are_told_one_by_one(tmp_path, store, caplog):
    folder = with_bad_lines(tmp_path / "spool", *(b"bad %d" % number for number in range(100)))
    assert ship(folder, store).bad_lines == 100
    assert sum(record.message == "bad_line" for record in caplog.records) == 20
    assert [record.lines for record in caplog.records if record.message == "bad_lines"] == [100]
    assert (folder / "w" / DEAD_LETTERS).read_bytes().count(b"\n") == 100
