"""A worker's counts in a file: gone on with, begun anew, owned by one, and read by all."""

import multiprocessing
import os

import pytest

from service.counters.file import open_counts, read_beats, read_counts

DIGEST, OTHER = b"1" * 32, b"2" * 32


def opened(folder, worker="scoring", digest=DIGEST, slots=10):
    return open_counts(folder, worker, digest=digest, slots=slots)


def sums(folder, digest=DIGEST):
    return {one.name: memoryview(one.slots).cast("d").tolist()[0] for one in read_counts(folder, digest)}


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
    assert sums(tmp_path, OTHER) == {"scoring": 0}
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
    assert read_beats(tmp_path) == {}
    counts.beat(12.5)
    assert read_beats(tmp_path) == {os.getpid(): 12.5}
    counts.close()
    assert read_beats(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"gauntlet counts1", b"x" * 1000])
def test_files_that_are_none_are_not_read(tmp_path, content):
    (tmp_path / "odd.counts").write_bytes(content)
    assert read_counts(tmp_path, DIGEST) == []
    assert read_beats(tmp_path) == {}


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
