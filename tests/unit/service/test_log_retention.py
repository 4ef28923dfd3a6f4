"""Retention: what is old leaves for the archive, once; what a trial still needs stays."""

from __future__ import annotations

import threading
from itertools import pairwise

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from log_toys import DAY, NOW, OLD, all_about, id_of, in_archive, in_store, land, outcome, prediction
from shipping_toys import rows

import gauntlet
from bentos.errors import InvalidSetting, NotFound, Refused
from service.micros import to_micros
from service.prediction_log import archives, retention, sheets
from service.prediction_log.ages import id_at, spans_before
from service.prediction_log.archives import Archive
from service.prediction_log.retention import ids_on_trial, retain
from service.prediction_log.upkeep import alone
from service.scoring.experiment import LEAD, end_trial, first_experiment, start_shadow, stop
from service.store import open_store, tables
from service.store.partitions import Month

TABLES = ("predictions", "outcomes", "treatments")
MARCH, APRIL, JUNE = OLD, OLD + 25 * DAY, NOW - DAY


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def run(store, tmp_path, *, days=60, on_trial=(), **options):
    return retain(store, tmp_path / "archive", days=days, on_trial=on_trial, who="ann", now=NOW, **options)


def counts(retained):
    return [(left.month, left.predictions, left.outcomes, left.treatments) for left in retained.months]


def test_what_is_old_stands_in_the_archive_and_no_longer_in_the_store(store, tmp_path):
    land(store, tmp_path, *all_about(1, MARCH), *all_about(2, APRIL), *all_about(3, JUNE))
    before = rows(store)
    assert counts(run(store, tmp_path)) == [("2026-03", 1, 1, 1), ("2026-04", 1, 1, 1)]
    assert in_store(store) == {name: [id_of(3, JUNE)] for name in TABLES}
    assert in_archive(tmp_path / "archive") == {name: [id_of(1, MARCH), id_of(2, APRIL)] for name in TABLES}
    paths = sorted((tmp_path / "archive").glob("predictions-*"))
    held = [row for path in paths for part in sheets.read_rows(path) for row in part]
    assert [dict(zip(before[0], row, strict=True)) for row in held] == [dict(row) for row in before[:2]]


def test_times_are_timestamps_for_whoever_reads_the_files(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    run(store, tmp_path)
    (row,) = pq.read_table(tmp_path / "archive" / "outcomes-2026-03.parquet").to_pylist()
    assert row["observed_at"] == OLD + DAY


@pytest.mark.parametrize(("older", "left"), [(-1, 0), (0, 0), (1, 1)])
def test_the_boundary_is_the_ids_own_millisecond(store, tmp_path, older, left):
    at = NOW - 60 * DAY - older * DAY / 86_400_000
    land(store, tmp_path, prediction(1, at))
    assert sum(month.predictions for month in run(store, tmp_path).months) == left


def test_doing_it_again_does_nothing(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    run(store, tmp_path)
    before = in_archive(tmp_path / "archive")
    assert counts(run(store, tmp_path)) == []
    assert in_archive(tmp_path / "archive") == before
    assert len(rows(store, tables.upkeep)) == 1


def test_a_dry_run_counts_and_changes_nothing(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    before = in_store(store)
    assert counts(run(store, tmp_path, dry_run=True)) == [("2026-03", 1, 1, 1)]
    assert in_store(store) == before
    assert not (tmp_path / "archive").exists()
    assert rows(store, tables.upkeep) == []


def test_a_month_that_grows_is_merged_in_order_and_rows_that_come_again_are_there_once(store, tmp_path):
    land(store, tmp_path, *all_about(1), *all_about(5))
    run(store, tmp_path)
    land(store, tmp_path, *all_about(3), *all_about(5), outcome(1, received_at=9), worker="late")
    assert counts(run(store, tmp_path)) == [("2026-03", 2, 3, 2)]
    found = in_archive(tmp_path / "archive")
    assert found["predictions"] == [id_of(n, OLD) for n in (1, 3, 5)]
    assert found["outcomes"] == [id_of(n, OLD) for n in (1, 1, 3, 5)]
    assert in_store(store)["outcomes"] == []


def test_many_rows_pass_in_parts(store, tmp_path, monkeypatch):
    monkeypatch.setattr(retention, "_DELETED_ROWS", 7)
    monkeypatch.setattr(retention, "_READ_ROWS", 5)
    monkeypatch.setattr(sheets, "GROUP_ROWS", 11)
    monkeypatch.setattr(archives, "GROUP_ROWS", 4)
    land(store, tmp_path, *(record for number in range(50) for record in all_about(number)))
    run(store, tmp_path)
    assert in_archive(tmp_path / "archive")["treatments"] == [id_of(n, OLD) for n in range(50)]
    assert in_store(store)["treatments"] == []


def test_a_row_that_lands_while_its_month_is_archived_is_not_deleted(store, tmp_path, monkeypatch):
    land(store, tmp_path, *(prediction(number) for number in (1, 5)))
    really = Archive.add

    def add_and_land(self, table, month, rows):
        added = really(self, table, month, rows)
        if table is tables.predictions and added.given == 2:
            land(store, tmp_path, prediction(3), worker="late")
        return added

    monkeypatch.setattr(Archive, "add", add_and_land)
    (left,) = run(store, tmp_path).months
    assert left.late == 1
    assert in_store(store)["predictions"] == [id_of(3, OLD)]
    assert counts(run(store, tmp_path)) == [("2026-03", 1, 0, 0)]
    assert in_archive(tmp_path / "archive")["predictions"] == [id_of(n, OLD) for n in (1, 3, 5)]


EVIDENCE = {"experiment": "x", "enrolment": "enrolled", "mode": "split", "challenger": "sha256:b"}


@pytest.mark.parametrize(
    ("changes", "stays"),
    [
        ({}, True),
        ({"mode": "shadow"}, True),
        ({"experiment": "y"}, False),
        ({"purpose": "test"}, False),
        ({"customer_id": None}, False),
        ({"enrolment": "holdout"}, False),
        ({"challenger": None}, False),
        ({"mode": "off"}, False),
    ],
)
def test_evidence_of_a_trial_that_goes_on_stays_with_its_truths_and_all_else_leaves(store, tmp_path, changes, stays):
    land(store, tmp_path, *all_about(1, **{**EVIDENCE, **changes}), *all_about(2, experiment="z"))
    done = run(store, tmp_path, on_trial=["x"])
    kept = [id_of(1, OLD)] if stays else []
    assert in_store(store) == dict.fromkeys(TABLES, kept)
    assert done.kept_on_trial == ({"x": 1} if stays else {})
    assert ("1 predictions stay: evidence of x" in str(done)) == stays


def test_evidence_leaves_once_its_trial_has_ended(store, tmp_path):
    land(store, tmp_path, *all_about(1, **EVIDENCE))
    run(store, tmp_path, on_trial=["x"])
    assert counts(run(store, tmp_path)) == [("2026-03", 1, 1, 1)]


def test_the_experiment_file_says_which_trials_go_on():
    champion, challenger = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    first = first_experiment(champion, now=NOW - 9 * DAY)
    trial = start_shadow(first, challenger, now=NOW - 8 * DAY, salt="s", lead=LEAD)
    assert ids_on_trial(first, now=NOW) == frozenset()
    assert ids_on_trial(trial, now=NOW) == {trial.id}
    halted = stop(trial, now=NOW - 7 * DAY, lead=LEAD)
    assert ids_on_trial(halted, now=NOW) == {trial.id}  # it may be taken up again
    over = end_trial(trial, challenger, now=NOW - 2 * DAY, lead=LEAD)
    assert ids_on_trial(over, now=NOW) == frozenset()
    assert ids_on_trial(over, now=NOW - 1.5 * DAY) == {trial.id}


def test_ids_that_tell_no_time_stay_and_are_counted(store, tmp_path):
    early, far = id_of(1, OLD.replace(year=2019)), id_of(1, NOW + 400 * DAY)
    odd = [prediction(number, prediction_id=one) for number, one in enumerate((early, far, "p1"))]
    land(store, tmp_path, *odd, prediction(9))
    done = run(store, tmp_path)
    assert counts(done) == [("2026-03", 1, 0, 0)]
    assert done.without_time == 3
    assert in_store(store)["predictions"] == sorted([early, far, "p1"])


def test_truths_of_unknown_predictions_leave_by_their_id(store, tmp_path):
    land(store, tmp_path, outcome(1))
    assert counts(run(store, tmp_path)) == [("2026-03", 0, 1, 0)]


def test_what_was_done_is_recorded_and_names_nobody(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    run(store, tmp_path)
    (row,) = rows(store, tables.upkeep)
    assert (row["who"], row["action"], row["subject"], row["at"]) == ("ann", "retain", "2026-03", to_micros(NOW))
    assert str(tmp_path / "archive") in row["content"]
    assert "customer" not in row["content"]


def damage(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def replace_by_another(path):
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)


@pytest.mark.parametrize("spoil", [damage, replace_by_another, lambda path: path.write_bytes(b"no parquet")])
def test_an_archive_that_is_not_what_it_was_stops_retention_before_anything_is_deleted(store, tmp_path, spoil):
    land(store, tmp_path, *(prediction(number) for number in range(20)))
    run(store, tmp_path)
    land(store, tmp_path, prediction(50), worker="late")
    spoil(tmp_path / "archive" / "predictions-2026-03.parquet")
    with pytest.raises(Refused, match=r"predictions-2026-03\.parquet"):
        run(store, tmp_path)
    assert in_store(store)["predictions"] == [id_of(50, OLD)]
    assert [path.name for path in (tmp_path / "archive").iterdir()] == ["predictions-2026-03.parquet"]


def test_a_file_that_does_not_hold_what_was_written_is_found_before_anything_is_deleted(store, tmp_path, monkeypatch):
    """A disk that takes the bytes and keeps others."""
    land(store, tmp_path, *(prediction(number) for number in range(20)))
    really = sheets._sync

    def sync_and_damage(path):
        really(path)
        damage(path)

    monkeypatch.setattr(sheets, "_sync", sync_and_damage)
    with pytest.raises(Refused):
        run(store, tmp_path)
    assert len(in_store(store)["predictions"]) == 20
    assert list((tmp_path / "archive").iterdir()) == []


def test_a_file_of_an_earlier_schema_is_merged_with_what_its_rows_mean(store, tmp_path):
    land(store, tmp_path, prediction(1))
    run(store, tmp_path)
    path = tmp_path / "archive" / "predictions-2026-03.parquet"
    names = [name for name in pq.read_schema(path).names if name not in ("enrolment", "latency_us")]
    (row,) = pq.read_table(path, columns=names).to_pylist()
    columns = [tables.predictions.c[name] for name in names]
    values = [int(to_micros(row[name])) if name in ("at", "landed_at") else row[name] for name in names]
    with sheets.SheetWriter(path, sheets.schema_of(columns)) as writer:
        writer.write([tuple(values)])
    land(store, tmp_path, prediction(2, enrolment="holdout", latency_us=3), worker="late")
    run(store, tmp_path)
    found = pq.read_table(path).to_pylist()
    assert [(row["enrolment"], row["latency_us"]) for row in found] == [("enrolled", None), ("holdout", 3)]


def test_two_at_once_are_refused(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    other = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    with alone(other), pytest.raises(Refused, match="at work"):
        run(store, tmp_path)
    other.close()
    assert counts(run(store, tmp_path)) == [("2026-03", 1, 1, 1)]


def test_shippers_go_on_meanwhile(store, tmp_path):
    land(store, tmp_path, *(record for number in range(200) for record in all_about(number)))
    other, stop_it, landed = open_store(f"sqlite:///{tmp_path / 'store.db'}"), threading.Event(), []

    def ship_on():
        while not stop_it.is_set():
            number = 1000 + len(landed)
            land(other, tmp_path / "beside", prediction(number, JUNE), worker=f"w{number}")
            landed.append(number)

    shipping = threading.Thread(target=ship_on)
    shipping.start()
    try:
        run(store, tmp_path)
    finally:
        stop_it.set()
        shipping.join()
        other.close()
    assert in_store(store)["predictions"] == sorted(id_of(number, JUNE) for number in landed)


def test_what_is_closed_stays_in_the_ledger(store, tmp_path):
    land(store, tmp_path, *all_about(1))
    closing = {"experiment": "e", "closed_through": 1, "closed_at": 2}
    with store.writing() as connection:
        connection.execute(tables.closings.insert().values(**closing))
    run(store, tmp_path)
    assert [dict(row) for row in rows(store, tables.closings)] == [closing]


def test_the_months_before_a_moment_end_with_a_part():
    spans = list(spans_before(NOW))
    assert spans[0].month == Month(2020, 1)
    assert [(span.month.month, span.is_whole) for span in spans[-2:]] == [(5, True), (6, False)]
    assert spans[-1].high == id_at(NOW)
    assert all(one.high == another.low for one, another in pairwise(spans))


def test_days_must_be_some(store, tmp_path):
    with pytest.raises(InvalidSetting, match="1 or more"):
        run(store, tmp_path, days=0)


def test_the_command_needs_an_experiment_file_because_it_says_which_trials_go_on(tmp_path):
    found = CliRunner().invoke(gauntlet.cli, ["log", "retain", "--days", "60", "--folder", str(tmp_path)])
    assert isinstance(found.exception, NotFound)


def test_rows_shipped_again_after_they_left_stand_in_the_archive_once(store, tmp_path):
    """A cursor was lost, and an old spool is read once more."""
    land(store, tmp_path, *all_about(1))
    run(store, tmp_path)
    with store.writing() as connection:
        connection.execute(sa.update(tables.spools).values(segment=0, offset=0, mark=None))
    land(store, tmp_path)
    assert len(in_store(store)["predictions"]) == 1
    run(store, tmp_path)
    assert in_archive(tmp_path / "archive")["predictions"] == [id_of(1, OLD)]
    assert in_store(store)["predictions"] == []
