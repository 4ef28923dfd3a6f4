"""A worker's counts in a file: gone on with, begun anew, owned by one, and read by all."""

import math
import multiprocessing
import os
import shutil
import struct

import pytest

from service.counters.file import open_counts
from service.counters.reading import CountsReader
from service.workers import Workers

DIGEST, OTHER = b"1" * 32, b"2" * 32


def opened(folder, worker="scoring", digest=DIGEST, slots=10):
    return open_counts(folder, worker, digest=digest, slots=slots)


def sums(folder, digest=DIGEST, slots=10):
    found = CountsReader(folder).counts(digest, slots)
    return {one.name: memoryview(one.slots).cast("d").tolist()[0] for one in found}


def beats(folder):
    return CountsReader(folder).beats()


def put(path, byte, number):
    """Write one float64 into a file, as whatever damages it may."""
    with path.open("r+b") as file:
        file.seek(byte)
        file.write(struct.pack("d", number))


def events(caplog):
    return [record.message for record in caplog.records]


def test_a_worker_of_the_same_name_goes_on_with_its_sums(tmp_path):
    first = opened(tmp_path)
    first.slots[0] += 3
    first.close()
    second = opened(tmp_path)
    second.slots[0] += 1
    assert (second.name, second.has_died, sums(tmp_path)) == ("scoring", False, {"scoring": 4})


def test_another_layout_begins_anew_and_what_nobody_owns_is_removed(tmp_path):
    for worker in ("scoring", "gone"):
        old = opened(tmp_path, worker)
        old.slots[0] = 3
        old.close()
    owned = opened(tmp_path, "owned")
    opened(tmp_path, digest=OTHER, slots=20)
    assert sums(tmp_path, OTHER, 20) == {"scoring": 0}
    assert sums(tmp_path) == {"owned": 0}
    owned.slots[0] = 1
    assert sums(tmp_path) == {"owned": 1}


def test_a_name_that_another_live_worker_has_gets_a_number(tmp_path):
    first, second, third = (opened(tmp_path) for _ in range(3))
    assert [one.name for one in (first, second, third)] == ["scoring", "scoring-2", "scoring-3"]


def test_dead_workers_are_summed_too(tmp_path):
    for worker in ("scoring", "scoring-2"):
        one = opened(tmp_path, worker)
        one.slots[0] = 5
        one.close()
    assert sums(tmp_path) == {"scoring": 5, "scoring-2": 5}


def test_who_is_amid_counting_is_read_again_and_not_for_ever(tmp_path):
    one, _ = opened(tmp_path), opened(tmp_path)
    one.slots[0] = 1

    def is_whole(slots, later):
        """One counts to 5, a step whenever somebody looks; the other is at rest."""
        one.slots[0] = min(one.slots[0] + 1, 5)
        return slots == later and memoryview(slots).cast("d")[0] in (0, 5)

    reader = CountsReader(tmp_path)
    found = reader.whole_counts(DIGEST, 10, is_whole)
    assert {counts.name: memoryview(counts.slots).cast("d")[0] for counts in found} == {"scoring": 5, "scoring-2": 0}
    assert len(reader.whole_counts(DIGEST, 10, lambda *_: False)) == 2


def _count_and_die(folder):
    counts = opened(folder)
    counts.slots[0] = 7
    counts.beat(1.0)
    os._exit(9)


def test_what_a_killed_process_counted_stays_and_its_death_is_seen(tmp_path):
    process = multiprocessing.get_context("spawn").Process(target=_count_and_die, args=(tmp_path,))
    process.start()
    process.join()
    assert sums(tmp_path) == {"scoring": 7}
    assert opened(tmp_path).has_died


def test_a_heartbeat_is_read_by_process_and_ends_with_a_clean_stop(tmp_path):
    counts = opened(tmp_path)
    assert beats(tmp_path) == {}
    counts.beat(12.5)
    assert beats(tmp_path) == {os.getpid(): 12.5}
    counts.close()
    assert beats(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"gauntlet counts1", b"x" * 1000])
def test_files_that_are_none_are_not_read(tmp_path, content):
    (tmp_path / "odd.counts").write_bytes(content)
    assert sums(tmp_path) == {}
    assert beats(tmp_path) == {}


def test_a_file_that_was_cut_short_begins_anew(tmp_path):
    first = opened(tmp_path)
    first.slots[0] = 3
    first.close()
    path = tmp_path / "scoring.counts"
    os.truncate(path, path.stat().st_size - 8)
    assert opened(tmp_path).slots.tolist() == [0.0] * 10


def test_every_page_is_on_the_disk_before_it_is_mapped(tmp_path):
    opened(tmp_path, slots=20_000)
    assert (tmp_path / "scoring.counts").stat().st_blocks * 512 >= 160_000


def test_where_the_folder_cannot_be_made_counting_goes_on_in_memory(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    counts = opened(tmp_path / "file")
    counts.slots[0] += 1
    counts.beat(1.0)
    assert memoryview(counts.read().slots).cast("d")[0] == 1
    assert [record.message for record in caplog.records] == ["counts_not_shared"]


PID, BEAT, STATE = 48, 56, 64
IMPOSSIBLE = [
    *((PID, number) for number in (math.nan, math.inf, -1.0, 2.5, 2.0**40)),
    *((BEAT, number) for number in (math.nan, math.inf, -1.0)),
    (STATE, math.nan),
]


@pytest.mark.parametrize(("byte", "number"), IMPOSSIBLE)
def test_a_stranger_s_file_with_an_impossible_header_is_left_out_and_told_of_once(tmp_path, caplog, byte, number):
    good, bad = opened(tmp_path), opened(tmp_path, "zzz")
    good.beat(1.0)
    bad.close()
    put(tmp_path / "zzz.counts", byte, number)
    reader = CountsReader(tmp_path)
    for _ in range(3):
        assert reader.beats() == {os.getpid(): 1.0}
        assert [one.name for one in reader.counts(DIGEST, 10)] == ["scoring"]
    assert events(caplog) == ["counts_damaged"]
    assert caplog.records[0].file == str(tmp_path / "zzz.counts")
    assert opened(tmp_path, "third").name == "third"


@pytest.mark.parametrize(("byte", "number"), IMPOSSIBLE)
def test_an_own_file_with_an_impossible_header_is_begun_anew(tmp_path, caplog, byte, number):
    before = opened(tmp_path)
    before.slots[0] = 3
    before.close()
    put(tmp_path / "scoring.counts", byte, number)
    counts = opened(tmp_path)
    assert (counts.name, counts.has_died, counts.slots.tolist()) == ("scoring", False, [0.0] * 10)
    assert events(caplog) == ["counts_damaged"]
    assert caplog.records[0].file == str(tmp_path / "scoring.counts")


def test_a_header_that_is_damaged_while_its_worker_lives_is_right_at_the_next_heartbeat(tmp_path):
    counts = opened(tmp_path)
    for byte in (0, 16, PID, BEAT):
        put(tmp_path / "scoring.counts", byte, math.nan)
    assert beats(tmp_path) == {}
    counts.beat(2.0)
    assert beats(tmp_path) == {os.getpid(): 2.0}
    assert sums(tmp_path) == {"scoring": 0}


@pytest.mark.parametrize("change", [-8, -3, 8])
def test_a_stranger_s_file_of_another_length_is_left_out(tmp_path, caplog, change):
    opened(tmp_path)
    opened(tmp_path, "zzz").close()
    path = tmp_path / "zzz.counts"
    os.truncate(path, path.stat().st_size + change)
    assert sums(tmp_path) == {"scoring": 0}
    assert events(caplog) == ["counts_damaged"]


def test_what_is_no_file_neither_ends_nor_delays_who_reads_or_starts(tmp_path):
    (tmp_path / "aaa.counts").mkdir()
    os.mkfifo(tmp_path / "zzz.counts")
    assert (beats(tmp_path), sums(tmp_path)) == ({}, {})
    opened(tmp_path)
    assert sums(tmp_path) == {"scoring": 0}


@pytest.mark.parametrize("number", [math.nan, math.inf, 2.0**40])
def test_the_parent_of_the_workers_outlives_any_file(tmp_path, number):
    opened(tmp_path, "zzz").beat(1.0)
    put(tmp_path / "zzz.counts", PID, number)
    workers = Workers([], counters=tmp_path, hang_seconds=1.0)
    for second in range(1, 5):
        assert workers.look(float(second)) is None


def test_a_file_whose_folder_was_deleted_is_made_again_with_its_sums(tmp_path, caplog):
    folder = tmp_path / "counters"
    before = opened(folder)
    before.slots[3] = 5
    before.say(0, 1.0)
    before.beat(1.0)
    assert before.renew() is None
    shutil.rmtree(folder)
    after = before.renew()
    assert events(caplog) == ["counts_removed"]
    assert (after.name, after.slots[3], after.read().states[0], after.renew()) == ("scoring", 5, 1.0, None)
    assert beats(folder) == {os.getpid(): 1.0}
    assert opened(folder).name == "scoring-2"


def test_a_file_that_was_moved_does_not_count_twice(tmp_path):
    before = opened(tmp_path)
    before.slots[0] = 5
    (tmp_path / "scoring.counts").rename(tmp_path / "moved.counts")
    after = before.renew()
    after.beat(1.0)
    assert sums(tmp_path) == {"scoring": 5}


def test_where_a_deleted_file_cannot_be_made_again_counting_goes_on_and_it_is_tried_again(tmp_path, caplog):
    folder = tmp_path / "counters"
    counts = opened(folder)
    shutil.rmtree(folder)
    folder.write_text("")
    for _ in range(3):
        assert counts.renew() is None
        counts.slots[0] += 1
    assert events(caplog) == ["counts_not_shared"]
    folder.unlink()
    assert counts.renew().slots[0] == 3
