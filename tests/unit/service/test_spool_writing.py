"""The spool: whole lines, whatever dies, no line behind a cut one, and segments that are finished in time."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from spool_toys import ids_in, lines_in, outcome, prediction, records_in, whole_lines

from bentos.errors import InvalidSetting
from service.prediction_log.lines import encode_line
from service.prediction_log.records import Outcome, Treatment
from service.prediction_log.segments import number_of, segment_name, segments_of
from service.prediction_log.spool import Spool
from service.settings import read_settings


@contextmanager
def opened(folder, worker="w", **options):
    spool = Spool(folder, worker, **options)
    try:
        yield spool
    finally:
        spool.close()


@contextmanager
def files_of_at_most(length: int):
    """No file of this process grows beyond a length: the write that would is cut short, as by a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Ticking:
    """A clock that stands until it is told to go on."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_a_record_is_one_whole_line_as_soon_as_append_returns(tmp_path):
    with opened(tmp_path) as spool:
        assert spool.append(outcome(1)) is True
        (segment,) = segments_of(tmp_path / "w")
        assert segment.read_bytes() == encode_line(outcome(1))


def test_records_of_every_kind_are_read_back_as_they_were_written_together(tmp_path):
    records = [prediction(1), outcome(1), Treatment(prediction_id="p1", action="call", taken_at=1, received_at=2)]
    with opened(tmp_path) as spool:
        assert spool.append_all(records) == [True, True, True]
        assert spool.append_all([]) == []
        assert records_in(tmp_path / "w") == records


def test_records_that_are_answered_together_cost_one_write(tmp_path, monkeypatch):
    write, writes = os.write, []

    def count(file, data):
        writes.append(len(data))
        return write(file, data)

    with opened(tmp_path) as spool:
        monkeypatch.setattr(os, "write", count)
        spool.append_all([prediction(number) for number in range(64)])
        monkeypatch.undo()
        assert writes == [sum(len(encode_line(prediction(number))) for number in range(64))]


def test_segments_are_rotated_by_size_and_a_record_larger_than_that_is_written_whole(tmp_path):
    with opened(tmp_path, segment_bytes=300) as spool:
        for number in range(10):
            spool.append(outcome(number))
        spool.append(outcome(10, prediction_id="x" * 500))
    segments = segments_of(tmp_path / "w")
    assert len(segments) > 3
    assert all(segment.stat().st_size <= 300 for segment in segments[:-1])
    assert ids_in(tmp_path / "w") == [*(f"p{number}" for number in range(10)), "x" * 500]


def test_a_segment_is_finished_once_its_oldest_record_is_old_though_nobody_writes(tmp_path):
    clock = Ticking()
    with opened(tmp_path, segment_seconds=60, clock=clock) as spool:
        clock.seconds += 1000
        spool.check()
        assert len(segments_of(tmp_path / "w")) == 1, "one without records is never old"
        spool.append(outcome(1))
        clock.seconds += 59
        spool.check()
        spool.append(outcome(2))
        assert len(segments_of(tmp_path / "w")) == 1
        clock.seconds += 1
        spool.check()
        spool.check()
        first, second = segments_of(tmp_path / "w")
        assert (len(whole_lines(first)), second.stat().st_size) == (2, 0)


def test_a_segment_is_finished_by_age_under_a_writer_whose_timer_stands_still(tmp_path):
    clock = Ticking()
    with opened(tmp_path, segment_seconds=60, clock=clock) as spool:
        for number in range(4):
            spool.append(outcome(number))
            clock.seconds += 40
    assert [len(whole_lines(segment)) for segment in segments_of(tmp_path / "w")] == [2, 2]


def test_the_time_of_day_stepping_back_neither_reorders_segments_nor_keeps_them_open(tmp_path, monkeypatch):
    clock, now = Ticking(), time.time()
    with opened(tmp_path, segment_seconds=60, clock=clock) as spool:
        for number in range(5):
            with monkeypatch.context() as stepped:
                stepped.setattr(time, "time", lambda back=number: now - back * 86_400)
                stepped.setattr(time, "time_ns", lambda back=number: int((now - back * 86_400) * 1e9))
                spool.append(outcome(number))
            clock.seconds += 100
    assert [number_of(segment) for segment in segments_of(tmp_path / "w")] == [1, 2, 3, 4, 5]
    assert ids_in(tmp_path / "w") == [f"p{number}" for number in range(5)]


def test_segments_are_ordered_by_number_beyond_six_digits(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    for number in (1_000_000, 999_999, 2):
        (folder / segment_name(number)).touch()
    (folder / "dead-letters.jsonl").touch()
    assert [number_of(segment) for segment in segments_of(folder)] == [2, 999_999, 1_000_000]


def test_wherever_a_write_is_cut_the_whole_records_are_named_and_the_next_line_stands_behind_a_whole_one(tmp_path):
    together = [outcome(1), prediction(2), outcome(3)]
    ends = [sum(len(encode_line(record)) for record in together[: n + 1]) for n in range(len(together))]
    first = len(encode_line(outcome(0)))
    for room in range(ends[-1] + 1):
        with opened(tmp_path, f"w{room}") as spool:
            spool.append(outcome(0))
            with files_of_at_most(first + room):
                kept = spool.append_all(together)
            assert kept == [end <= room for end in ends]
            assert spool.lost == kept.count(False)
            assert spool.failure == (None if all(kept) else "File too large")
            assert spool.append(outcome(4))
            expected = [outcome(0), *(record for record, is_kept in zip(together, kept, strict=True) if is_kept)]
            assert records_in(spool.folder) == [*expected, outcome(4)]
            assert all(segment.read_bytes()[-1:] in (b"", b"\n") for segment in segments_of(spool.folder))


def test_a_half_line_that_cannot_be_cut_off_again_ends_its_segment(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    with opened(tmp_path) as spool:
        spool.append(outcome(1))
        monkeypatch.setattr(os, "ftruncate", refuse)
        with files_of_at_most(len(encode_line(outcome(1))) + 20):
            assert spool.append(outcome(2)) is False
        assert spool.append(outcome(3))
    first, second = segments_of(tmp_path / "w")
    assert first.read_bytes() == encode_line(outcome(1)) + encode_line(outcome(2))[:20]
    assert second.read_bytes() == encode_line(outcome(3))


def test_a_short_write_of_a_disk_that_has_room_is_finished(tmp_path, monkeypatch):
    write = os.write
    with opened(tmp_path) as spool:
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:100]))
        assert spool.append_all([prediction(1), prediction(2)]) == [True, True]
        assert records_in(tmp_path / "w") == [prediction(1), prediction(2)]


def test_a_segment_that_cannot_be_begun_keeps_the_last_one_in_use_and_loses_nothing(tmp_path, monkeypatch):
    really = os.open

    def refuse(path, flags, *mode):
        if str(path).endswith(".jsonl"):
            raise OSError(28, "No space left on device")
        return really(path, flags, *mode)

    clock = Ticking()
    with opened(tmp_path, segment_bytes=1, clock=clock) as spool:
        spool.append(outcome(1))
        monkeypatch.setattr(os, "open", refuse)
        assert spool.append(outcome(2)) is True
        assert spool.failure == "No space left on device"
        monkeypatch.undo()
        spool.check()
        assert (spool.failure, spool.lost) == (None, 0)
        assert spool.append(outcome(3))
    assert [len(whole_lines(segment)) for segment in segments_of(tmp_path / "w")] == [2, 1]


def test_appending_to_a_closed_spool_is_lost_and_counted(tmp_path):
    spool = Spool(tmp_path, "w")
    spool.close()
    spool.close()
    spool.check()
    assert (spool.append(outcome(1)), spool.append_all([outcome(1), outcome(2)])) == (False, [False, False])
    assert (spool.lost, spool.failure) == (3, "the spool is closed")
    assert lines_in(tmp_path / "w") == []


def test_two_live_writers_of_one_name_get_spools_of_their_own_and_a_restart_gets_the_old_one(tmp_path):
    with opened(tmp_path) as two_of_them:
        assert two_of_them.worker == "w"
        with opened(tmp_path) as two:
            assert two.worker == "w-2"
    with opened(tmp_path) as again:
        assert again.worker == "w"


def test_a_spool_keeps_its_id_over_restarts_and_one_without_segments_or_id_gets_a_new_one(tmp_path):
    seen = []
    for lacks in ((), (), segments_of, lambda folder: [folder / "spool-id"]):
        for path in lacks(tmp_path / "w") if lacks else ():
            path.unlink()
        Spool(tmp_path, "w").close()
        seen.append((tmp_path / "w" / "spool-id").read_text())
    assert seen[0] == seen[1]
    assert len(set(seen[1:])) == 3


def test_what_two_threads_write_at_once_is_whole(tmp_path):
    with opened(tmp_path, segment_bytes=5000) as spool:

        def write(start):
            for number in range(start, start + 500):
                spool.append(outcome(number))

        threads = [threading.Thread(target=write, args=(start,)) for start in (0, 500, 1000)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            spool.check()
        assert spool.lost == 0
    assert sorted(ids_in(tmp_path / "w")) == sorted(f"p{number}" for number in range(1500))


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("SPOOL_SEGMENT_BYTES", "100", "65536"),
        ("SPOOL_SEGMENT_SECONDS", "0", "greater than 0"),
        ("SPOOL_LIMIT_BYTES", "100", "1048576"),
        ("SPOOL_FSYNC", "sometimes", "'never', 'interval' or 'always'"),
        ("SPOOL_FSYNC_INTERVAL_SECONDS", "3600", "60"),
        ("SPOOL_WHEN_FULL", "die", "'answer' or 'refuse'"),
    ],
)
def test_settings_of_the_spool_that_are_not_allowed_are_refused_by_name(monkeypatch, name, value, allowed):
    monkeypatch.setenv(f"GAUNTLET_{name}", value)
    with pytest.raises(InvalidSetting, match=f"GAUNTLET_{name}: .*{allowed}"):
        read_settings()


WRITER = """
import sys
from pathlib import Path
from service.prediction_log.records import Outcome
from service.prediction_log.spool import Spool
spool = Spool(Path(sys.argv[1]), "w", segment_bytes=5000, fsync=sys.argv[2], fsync_interval_seconds=0.01)
number = 0
while True:
    spool.append_all([
        Outcome(prediction_id=f"p{one}", positive=True, observed_at=one, received_at=one)
        for one in range(number, number + 3)
    ])
    number += 3
    sys.stdout.write(f"{number - 1}\\n"); sys.stdout.flush()
"""


@pytest.mark.parametrize("fsync", ["never", "interval", "always"])
def test_kill_9_loses_nothing_that_append_returned_for(tmp_path, fsync):
    command = [sys.executable, "-c", WRITER, str(tmp_path), fsync]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 300:
                os.kill(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read().splitlines()
    told = int(rest[-1]) if rest and rest[-1].isdigit() else 300
    assert len(segments_of(tmp_path / "w")) > 1
    assert ids_in(tmp_path / "w")[: told + 1] == [f"p{number}" for number in range(told + 1)]


def test_a_record_is_what_its_line_says_and_a_line_that_was_changed_is_none(tmp_path):
    with opened(tmp_path) as spool:
        spool.append(Outcome(prediction_id="p1", positive=True, observed_at=1, received_at=1))
    (segment,) = segments_of(tmp_path / "w")
    segment.write_bytes(segment.read_bytes().replace(b'"positive":true', b'"positive":null'))
    with pytest.raises(ValueError, match="checksum"):
        records_in(tmp_path / "w")
