"""The spool: whole lines, whatever dies, and no line behind a cut one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.records import Outcome, Record
from service.spool import Spool, number_of, segment_name, segments_of


def outcome(number: int) -> Outcome:
    return Outcome(prediction_id=f"p{number}", positive=True, observed_at=number, received_at=number)


def lines_in(folder: Path) -> list[bytes]:
    return [line for segment in segments_of(folder) for line in segment.read_bytes().splitlines()]


def ids_in(folder: Path) -> list[str]:
    return [msgspec.json.decode(line, type=Record).prediction_id for line in lines_in(folder)]


def test_a_record_is_one_whole_line_as_soon_as_append_returns(tmp_path):
    spool = Spool(tmp_path, "w")
    spool.append(outcome(1))
    (segment,) = segments_of(tmp_path / "w")
    assert segment.read_bytes() == msgspec.json.encode(outcome(1)) + b"\n"
    spool.close()


def test_segments_are_rotated_by_size_and_a_record_larger_than_that_is_written_whole(tmp_path):
    spool = Spool(tmp_path, "w", segment_bytes=200)
    for number in range(10):
        spool.append(outcome(number))
    spool.append(Outcome(prediction_id="x" * 500, positive=True, observed_at=1, received_at=1))
    spool.close()
    segments = segments_of(tmp_path / "w")
    assert len(segments) > 3
    assert all(segment.stat().st_size <= 200 for segment in segments[:-1])
    assert ids_in(tmp_path / "w") == [*(f"p{number}" for number in range(10)), "x" * 500]


def test_segments_are_ordered_by_number_beyond_six_digits(tmp_path):
    folder = tmp_path / "w"
    folder.mkdir()
    for number in (1_000_000, 999_999, 2):
        (folder / segment_name(number)).touch()
    (folder / "dead-letters.jsonl").touch()
    assert [number_of(segment) for segment in segments_of(folder)] == [2, 999_999, 1_000_000]


LINE = msgspec.json.encode(outcome(7)) + b"\n"


@pytest.mark.parametrize("kept", range(len(LINE)))
def test_a_new_start_writes_nothing_behind_a_line_that_was_cut(tmp_path, kept):
    first = Spool(tmp_path, "w")
    first.append(outcome(1))
    first.close()
    segment = segments_of(tmp_path / "w")[-1]
    with segment.open("ab") as file:
        file.write(LINE[:kept])
    cut = segment.read_bytes()
    again = Spool(tmp_path, "w")
    again.append(outcome(2))
    again.close()
    assert segment.read_bytes() == cut
    assert segments_of(tmp_path / "w")[-1].read_bytes() == msgspec.json.encode(outcome(2)) + b"\n"


def test_a_full_disk_raises_nothing_is_counted_and_leaves_no_half_line_in_front_of_the_next(tmp_path, monkeypatch):
    spool = Spool(tmp_path, "w")
    spool.append(outcome(1))
    write = os.write

    def write_half(file, line):
        write(file, line[:10])
        return 10

    def write_nothing(_file, _line):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write_half)
    spool.append(outcome(2))
    monkeypatch.setattr(os, "write", write_nothing)
    spool.append(outcome(3))
    monkeypatch.setattr(os, "write", write)
    spool.append(outcome(4))
    spool.close()
    assert spool.lost == 2
    first, last = segments_of(tmp_path / "w")[0], segments_of(tmp_path / "w")[-1]
    assert first.read_bytes().startswith(msgspec.json.encode(outcome(1)) + b"\n")
    assert last.read_bytes() == msgspec.json.encode(outcome(4)) + b"\n"


def test_a_spool_whose_folder_is_gone_counts_what_is_lost_and_recovers(tmp_path):
    spool = Spool(tmp_path, "w", segment_bytes=1)
    spool.append(outcome(1))
    moved = (tmp_path / "w").rename(tmp_path / "elsewhere")
    spool.append(outcome(2))
    moved.rename(tmp_path / "w")
    spool.append(outcome(3))
    spool.close()
    assert spool.lost == 1
    assert ids_in(tmp_path / "w") == ["p1", "p3"]


def test_appending_to_a_closed_spool_is_lost_and_counted(tmp_path):
    spool = Spool(tmp_path, "w")
    spool.close()
    spool.append(outcome(1))
    assert spool.lost == 1
    assert lines_in(tmp_path / "w") == []


def test_two_live_writers_of_one_name_get_spools_of_their_own_and_a_restart_gets_the_old_one(tmp_path):
    one, two = Spool(tmp_path, "w"), Spool(tmp_path, "w")
    assert (one.worker, two.worker) == ("w", "w-2")
    one.close()
    again = Spool(tmp_path, "w")
    assert again.worker == "w"
    again.close()
    two.close()


def test_a_spool_keeps_its_id_over_restarts_and_one_without_segments_gets_a_new_one(tmp_path):
    Spool(tmp_path, "w").close()
    first = (tmp_path / "w" / "spool-id").read_text()
    Spool(tmp_path, "w").close()
    assert (tmp_path / "w" / "spool-id").read_text() == first
    for segment in segments_of(tmp_path / "w"):
        segment.unlink()
    Spool(tmp_path, "w").close()
    assert (tmp_path / "w" / "spool-id").read_text() != first


WRITER = """
import sys
from pathlib import Path
from service.records import Outcome
from service.spool import Spool
spool = Spool(Path(sys.argv[1]), "w", segment_bytes=5000)
number = 0
while True:
    spool.append(Outcome(prediction_id=f"p{number}", positive=True, observed_at=number, received_at=number))
    sys.stdout.write(f"{number}\\n"); sys.stdout.flush()
    number += 1
"""


def test_kill_9_loses_nothing_that_append_returned_for(tmp_path):
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 300:
                os.kill(process.pid, signal.SIGKILL)
                break
        rest = process.stdout.read().splitlines()
    told = int(rest[-1]) if rest and rest[-1].isdigit() else 300
    segments = segments_of(tmp_path / "w")
    whole = [line for segment in segments for line in segment.read_bytes().split(b"\n")[:-1]]
    written = [msgspec.json.decode(line, type=Record).prediction_id for line in whole]
    assert len(segments) > 1
    assert written[: told + 1] == [f"p{number}" for number in range(told + 1)]
