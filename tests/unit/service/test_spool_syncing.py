"""What a machine that dies can lose: nothing, a moment, or what the kernel had not written, by `fsync`.

The disk here remembers, beside the files, what it was told to keep: `after_power_failure` makes a folder of that alone.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from spool_toys import ids_in, outcome, prediction

from service.prediction_log.segments import segments_of
from service.prediction_log.spool import Spool


class Disk:
    """Passes every sync on, and remembers what stood in the file or folder at that moment.

    Attributes:
        files: By inode: the content that was put on the disk.
        folders: By inode: the entries (name and inode) that were.
        problem: Raised while it is set, by every sync of a file, and of a folder too if `is_whole_disk`.
    """

    def __init__(self, monkeypatch) -> None:
        self.files: dict[int, bytes] = {}
        self.folders: dict[int, dict[str, int]] = {}
        self.syncs = 0
        self.problem: OSError | None = None
        self.is_whole_disk = True
        self._really = os.fdatasync, os.fsync
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)
        monkeypatch.setattr(os, "fsync", self._fsync)

    def after_power_failure(self, root, target) -> None:
        """Make a folder of what was put on the disk."""
        for name, place in self._entries(root).items():
            (target / name).mkdir(parents=True)
            for file, inode in self.folders.get(place, {}).items():
                if inode in self.files:
                    (target / name / file).write_bytes(self.files[inode])

    def _entries(self, root) -> dict[str, int]:
        return self.folders.get(root.stat().st_ino, {})

    def _fdatasync(self, file) -> None:
        self._fail()
        found = os.fstat(file)
        self.files[found.st_ino] = Path(f"/proc/self/fd/{file}").read_bytes()
        self._really[0](file)

    def _fsync(self, file) -> None:
        if self.is_whole_disk:
            self._fail()
        found = os.fstat(file)
        assert stat.S_ISDIR(found.st_mode)
        with os.scandir(file) as entries:
            self.folders[found.st_ino] = {entry.name: entry.inode() for entry in entries}
        self._really[1](file)

    def _fail(self) -> None:
        self.syncs += 1
        if self.problem is not None:
            raise self.problem


@pytest.fixture
def disk(monkeypatch):
    return Disk(monkeypatch)


@contextmanager
def opened(folder, worker="w", **options):
    spool = Spool(folder, worker, **options)
    try:
        yield spool
    finally:
        spool.close()


def wait_until(is_so) -> None:
    while not is_so():
        time.sleep(0.001)  # pytest's own timeout ends it


def survivors(disk, root, target):
    disk.after_power_failure(root, target)
    return ids_in(target / "w")


@pytest.mark.parametrize("segment_bytes", [10**6, 300, 1], ids=["one segment", "several", "one a record"])
def test_always_every_record_that_append_returned_for_survives_a_power_failure(disk, tmp_path, segment_bytes):
    root = tmp_path / "spool"
    with opened(root, fsync="always", segment_bytes=segment_bytes) as spool:
        for number in range(12):
            assert spool.append_all([outcome(3 * number + place) for place in range(3)]) == [True] * 3
            assert survivors(disk, root, tmp_path / f"after-{number}") == [f"p{one}" for one in range(3 * number + 3)]


@pytest.mark.parametrize("is_whole_disk", [True, False], ids=["whole disk", "files alone"])
def test_always_what_the_disk_refuses_to_keep_is_not_said_to_be_kept(disk, tmp_path, is_whole_disk):
    disk.is_whole_disk = is_whole_disk
    with opened(tmp_path / "spool", fsync="always") as spool:
        assert spool.append(outcome(1))
        disk.problem = OSError(5, "Input/output error")
        assert spool.append_all([outcome(2), outcome(3)]) == [False, False]
        assert (spool.lost, spool.failure) == (2, "Input/output error")
        files, segments = open_files(), len(segments_of(spool.folder))
        for _ in range(5):
            spool.check()
            assert spool.failure == "Input/output error"
        assert (open_files(), len(segments_of(spool.folder)) - segments) in ((files, 0), (files, 1))
        disk.problem = None
        spool.check()
        assert spool.failure is None
        assert spool.append(outcome(4))
        assert {"p1", "p4"} <= set(survivors(disk, tmp_path / "spool", tmp_path / "after"))


def test_interval_records_survive_a_power_failure_once_the_thread_has_been_there(disk, tmp_path):
    root = tmp_path / "spool"
    with opened(root, fsync="interval", fsync_interval_seconds=0.005, segment_bytes=300) as spool:
        for number in range(7):
            spool.append(outcome(number))
        tries = (tmp_path / f"after-{number}" for number in range(10**6))
        wait_until(lambda: survivors(disk, root, next(tries)) == [f"p{number}" for number in range(7)])
        before = disk.syncs
        time.sleep(0.05)
        assert disk.syncs == before, "a spool to which nobody writes does not keep the disk busy"


def test_interval_closing_puts_everything_on_the_disk_and_ends_the_thread(disk, tmp_path):
    root = tmp_path / "spool"
    before = threading.active_count()
    with opened(root, fsync="interval", fsync_interval_seconds=60, segment_bytes=2000) as spool:
        for number in range(10):
            spool.append(prediction(number))
        assert threading.active_count() == before + 1
    assert survivors(disk, root, tmp_path / "after") == [f"p{number}" for number in range(10)]
    assert spool.failure is None
    assert threading.active_count() == before


def test_interval_a_disk_that_refuses_is_told_and_costs_no_answer(disk, tmp_path):
    with opened(tmp_path / "spool", fsync="interval", fsync_interval_seconds=0.005) as spool:
        disk.problem = OSError(5, "Input/output error")
        assert spool.append(outcome(1))
        wait_until(lambda: spool.failure is not None)
        assert spool.failure == "what was written cannot be put on the disk: Input/output error"
        assert spool.append(outcome(2))
        disk.problem = None
        wait_until(lambda: spool.failure is None)
        assert spool.lost == 0
    assert survivors(disk, tmp_path / "spool", tmp_path / "after") == ["p1", "p2"]


def test_interval_the_writer_does_not_wait_for_a_slow_disk(tmp_path, monkeypatch):
    is_syncing, may_go_on, really = threading.Event(), threading.Event(), os.fdatasync

    def hang(file):
        is_syncing.set()
        may_go_on.wait()
        really(file)

    monkeypatch.setattr(os, "fdatasync", hang)
    with opened(tmp_path, fsync="interval", fsync_interval_seconds=0.005, segment_bytes=300) as spool:
        spool.append(outcome(0))
        is_syncing.wait()
        assert all(spool.append(outcome(number)) for number in range(1, 50))
        may_go_on.set()
    assert ids_in(tmp_path / "w") == [f"p{number}" for number in range(50)]


def test_never_nothing_is_asked_of_the_disk(disk, tmp_path):
    with opened(tmp_path / "spool", fsync="never", segment_bytes=300) as spool:
        for number in range(10):
            spool.append(outcome(number))
        spool.check()
    assert disk.syncs == 0


def open_files():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_a_spool_that_was_closed_leaves_no_file_open(tmp_path, fsync):
    before = open_files()
    with opened(tmp_path, fsync=fsync, fsync_interval_seconds=0.001, segment_bytes=300) as spool:
        for number in range(30):
            spool.append(outcome(number))
            if number % 10 == 5:
                (tmp_path / "w" / ".lock").unlink()
                spool.check()
    assert open_files() == before
