"""Folders deleted under a running worker, disks that are full, limits that are reached: answering and writing go on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from contextlib import contextmanager

import pytest
import sqlalchemy as sa
from spool_toys import ids_in, lines_in, outcome, prediction, records_in

from service.prediction_log.segments import number_of, segments_of
from service.prediction_log.shipper import ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables


class Ticking:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@contextmanager
def opened(folder, worker="w", **options):
    spool = Spool(folder, worker, **options)
    try:
        yield spool
    finally:
        spool.close()


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount a tmpfs")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a tmpfs cannot be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def ids(store, table=tables.predictions):
    with store.reading() as connection:
        return sorted(connection.execute(sa.select(table.c.prediction_id)).scalars())


def spool_id(folder):
    return (folder / "spool-id").read_text()


# ---- deleted and moved


@pytest.mark.parametrize("removed", ["w", "."], ids=["its own folder", "the folder of all spools"])
def test_nothing_is_lost_with_a_folder_that_is_deleted_and_the_spool_has_a_new_id(tmp_path, store, removed):
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        spool.append_all([prediction(1), prediction(2)])
        assert ship(folder, store).predictions == 2
        spool.append(prediction(3))
        before = spool_id(folder / "w")
        shutil.rmtree(folder / removed)
        assert spool.append(prediction(4)), "nobody has looked yet, and the file is still open"
        spool.check()
        assert spool.append(prediction(5))
        assert ids_in(folder / "w") == ["p1", "p2", "p3", "p4", "p5"]
        assert spool_id(folder / "w") != before
        assert [number_of(segment) for segment in segments_of(folder / "w")] == [2], "no name is given twice"
        assert (spool.lost, spool.failure) == (0, None)
        shipped = ship(folder, store)
    assert (shipped.predictions, shipped.duplicates) == (3, 2)
    assert ids(store) == ["p1", "p2", "p3", "p4", "p5"]


def test_a_deleted_folder_is_noticed_by_writing_alone(tmp_path):
    clock = Ticking()
    with opened(tmp_path, clock=clock) as spool:
        spool.append(outcome(1))
        shutil.rmtree(tmp_path / "w")
        clock.seconds += 0.2
        spool.append(outcome(2))
        assert ids_in(tmp_path / "w") == ["p1", "p2"]


def test_a_deleted_folder_is_noticed_at_the_latest_when_the_spool_is_closed(tmp_path):
    with opened(tmp_path) as spool:
        spool.append(outcome(1))
        shutil.rmtree(tmp_path / "w")
    assert ids_in(tmp_path / "w") == ["p1"]


def test_a_deleted_segment_is_written_again_and_what_was_finished_before_stays(tmp_path):
    with opened(tmp_path, segment_bytes=300) as spool:
        for number in range(9):
            spool.append(outcome(number))
        before = spool_id(tmp_path / "w")
        segments_of(tmp_path / "w")[-1].unlink()
        spool.check()
        assert spool.append(outcome(9))
        assert ids_in(tmp_path / "w") == [f"p{number}" for number in range(10)]
        assert spool_id(tmp_path / "w") == before, "its numbers go on, so no cursor is about another segment"


def test_a_segment_larger_than_what_is_copied_at_once_is_saved_whole(tmp_path):
    big = "x" * 3_000_000
    with opened(tmp_path) as spool:
        for number in range(7):
            spool.append(prediction(number, features={"note": big}))
        spool.append(prediction(7, features={"note": 4 * big}))
        segments_of(tmp_path / "w")[-1].unlink()
        spool.check()
        assert ids_in(tmp_path / "w") == [f"p{number}" for number in range(8)]


def test_a_spool_whose_folder_is_moved_away_goes_on_in_a_new_one(tmp_path, store):
    folder = tmp_path / "spool"
    with opened(folder, segment_bytes=1) as spool:
        spool.append(prediction(1))
        (folder / "w").rename(folder / "elsewhere")
        assert spool.append(prediction(2)), "a segment that cannot be begun is no reason to lose what can be written"
        spool.check()
        spool.append(prediction(3))
        assert spool.lost == 0
    ship(folder, store)
    assert ids(store) == ["p1", "p2", "p3"]


def test_a_spool_whose_folder_is_replaced_by_a_copy_goes_on_in_the_copy(tmp_path):
    with opened(tmp_path / "spool") as spool:
        spool.append(outcome(1))
        shutil.copytree(tmp_path / "spool", tmp_path / "copy")
        (tmp_path / "spool").rename(tmp_path / "moved")
        (tmp_path / "copy").rename(tmp_path / "spool")
        assert spool.append(outcome(2))
        spool.check()
        assert spool.append(outcome(3))
        assert set(ids_in(tmp_path / "spool" / "w")) == {"p1", "p2", "p3"}


def test_a_worker_whose_lock_is_deleted_leaves_the_folder_to_who_took_it(tmp_path):
    with opened(tmp_path) as one:
        one.append(outcome(1))
        (tmp_path / "w" / ".lock").unlink()
        with opened(tmp_path) as other:
            assert other.worker == "w"
            one.check()
            assert one.worker == "w-2"
            other.append(outcome(2))
            one.append(outcome(3))
            assert (ids_in(tmp_path / "w"), ids_in(tmp_path / "w-2")) == (["p1", "p2"], ["p3"])


def test_a_folder_that_cannot_be_made_again_costs_records_until_it_can(tmp_path, caplog):
    caplog.set_level("INFO", logger="gauntlet.spool")
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        spool.append(outcome(1))
        shutil.rmtree(folder)
        folder.write_text("a file in its place")
        spool.check()
        assert spool.append(outcome(2)) is False
        assert spool.failure == "Not a directory"
        folder.unlink()
        spool.check()
        assert spool.append(outcome(3))
        assert (spool.lost, spool.failure) == (1, None)
        assert ids_in(folder / "w") == ["p1", "p3"]
    events = [record.message for record in caplog.records if record.message != "spool_removed"]
    assert events == ["spool_failing", "spool_recovered"], "said once, not for every record"


def test_records_in_a_deleted_folder_that_never_comes_back_are_counted_as_lost(tmp_path):
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        spool.append_all([outcome(1), outcome(2)])
        shutil.rmtree(folder)
        folder.write_text("a file in its place")
    assert spool.lost == 2


def test_every_record_survives_folders_deleted_again_and_again_under_load(tmp_path, store):
    folder, chance, number = tmp_path / "spool", random.Random(4), 0
    with opened(folder) as spool:
        for _ in range(25):
            for _ in range(chance.randrange(1, 6)):
                together = range(number, number := number + chance.randrange(1, 5))
                assert all(spool.append_all([prediction(one) for one in together]))
            if chance.random() < 0.4:
                ship(folder, store)
            present = [folder, folder / "w", folder / "w" / "spool-id", *segments_of(folder / "w")]
            target = chance.choice([path for path in present if path.exists()] or [tmp_path / "nothing"])
            shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
            if chance.random() < 0.5:
                spool.check()
        assert spool.lost == 0
    ship(folder, store)
    assert ids(store) == sorted(f"p{one}" for one in range(number))


# ---- full disks


def fill(spool, first=0, most=100_000):
    """Write until records are lost; which numbers were kept."""
    kept, number = [], first
    while spool.failure is None and number < first + most:
        together = [prediction(one) for one in range(number, number + 8)]
        flags = spool.append_all(together)
        kept += [number + place for place, is_kept in enumerate(flags) if is_kept]
        number += 8
    return kept


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_a_full_disk_costs_exactly_what_is_counted_and_writing_goes_on_once_there_is_room(small_disk, store, fsync):
    with opened(small_disk, fsync=fsync, fsync_interval_seconds=0.01) as spool:
        kept = fill(spool)
        assert spool.failure == "No space left on device"
        assert not any(spool.append_all([prediction(-1, features={"note": "x" * 50_000})] * 3))
        spool.check()
        assert spool.failure == "No space left on device", "looking makes no room"
        assert spool.lost == (kept[-1] // 8 + 1) * 8 - len(kept) + 3
        assert [record.prediction_id for record in records_in(spool.folder)] == [f"p{one}" for one in kept]
        assert ship(small_disk, store).predictions == len(kept)
        ship(small_disk, store)  # deletes what the first pass moved
        wait_for_room(spool)
        assert spool.append(prediction(100_000))
    ship(small_disk, store)
    assert ids(store) == sorted(f"p{one}" for one in [*kept, 100_000])


def wait_for_room(spool):
    """With `interval` the thread holds deleted segments for a moment."""
    for _ in range(1000):
        spool.check()
        if spool.failure is None:
            return
        os.sched_yield()
    raise AssertionError(spool.failure)


def test_a_disk_filled_by_others_is_found_to_have_room_again_though_nobody_writes(small_disk):
    other = small_disk / "other"
    with opened(small_disk) as spool:
        spool.append(outcome(1))
        with pytest.raises(OSError, match="No space"):
            other.write_bytes(bytes(300_000))
        assert fill(spool, most=800) is not None
        assert spool.failure == "No space left on device"
        for _ in range(3):
            spool.check()
        assert spool.failure is not None
        os.truncate(other, other.stat().st_size - 32 * 1024)
        spool.check()
        assert spool.failure is not None, "a few pages are no room: what is written next would fail again"
        other.unlink()
        spool.check()
        assert spool.failure is None
        assert spool.append(outcome(2))


def test_a_worker_starts_on_a_full_disk_answers_and_recovers(small_disk, store):
    with opened(small_disk) as spool:
        kept = fill(spool)
    with opened(small_disk) as again:
        assert not all(again.append_all([prediction(-1)] * 300))
        assert again.failure == "No space left on device"
        ship(small_disk, store)
        ship(small_disk, store)
        again.check()
        assert again.failure is None
        assert again.append(prediction(100_000))
    ship(small_disk, store)
    assert set(ids(store)) >= {f"p{one}" for one in [*kept, 100_000]}


def test_a_deleted_segment_that_finds_no_room_is_saved_once_there_is_some(small_disk):
    with opened(small_disk) as spool:
        kept = [number for number in range(300) if spool.append(prediction(number))]
        taken = sum(segment.stat().st_size for segment in segments_of(spool.folder))
        assert taken > 130_000, "so that no second copy fits"
        shutil.rmtree(spool.folder)  # its bytes stay taken while the file is open
        spool.check()
        assert spool.failure == "No space left on device"
        subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
        spool.check()
        assert (spool.failure, spool.lost) == (None, 0)
        assert ids_in(spool.folder) == [f"p{number}" for number in kept]


# ---- limits


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_limit_that_is_reached_is_a_full_disk_and_what_is_shipped_makes_room(tmp_path, store):
    folder = tmp_path / "spool"
    with opened(folder, limit_bytes=300_000) as spool:
        kept = fill(spool)
        assert 280_000 < size_of(folder) <= 300_000
        assert "GAUNTLET_SPOOL_LIMIT_BYTES allows 300000" in spool.failure
        spool.check()
        assert spool.failure is not None
        ship(folder, store)
        ship(folder, store)
        spool.check()
        assert spool.failure is None
        kept += fill(spool, first=100_000)
        assert size_of(folder) <= 300_000
    ship(folder, store)
    assert ids(store) == sorted(f"p{one}" for one in kept)


def test_a_limit_counts_what_other_workers_left(tmp_path):
    with opened(tmp_path, "other") as other:
        fill(other, most=400)
    held = size_of(tmp_path)
    with opened(tmp_path, limit_bytes=held + 20_000) as spool:
        fill(spool)
    assert held < size_of(tmp_path) <= held + 20_000


def test_what_another_worker_writes_meanwhile_is_noticed_within_a_second(tmp_path):
    clock = Ticking()
    with opened(tmp_path, limit_bytes=200_000, clock=clock) as spool, opened(tmp_path, "other") as other:
        assert spool.append(prediction(1))
        fill(other, most=800)
        clock.seconds += 1
        assert spool.append(prediction(2)) is False


def test_with_nothing_written_a_spool_holds_no_record(tmp_path):
    with opened(tmp_path) as spool:
        spool.check()
    assert lines_in(tmp_path / "w") == []
