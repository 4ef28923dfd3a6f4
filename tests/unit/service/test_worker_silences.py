"""When a worker counts as hung: by what its parent saw, not by two processes' clocks."""

from service.workers import Silences


def test_a_worker_that_beats_is_never_hung():
    silences = Silences(1.0)
    assert not any(silences.hung({7: second}, now=second) for second in range(100))


def test_a_worker_whose_heartbeat_stays_the_same_is_hung_after_so_many_seconds():
    silences = Silences(1.0)
    found = [silences.hung({7: 5.0}, now=100 + tenth / 10) for tenth in range(13)]
    assert found[:11] == [[]] * 11
    assert found[12] == [7]


def test_a_worker_that_never_beat_is_left_alone():
    silences = Silences(1.0)
    assert not any(silences.hung({}, now=second) for second in range(100))


def test_where_the_parent_was_stopped_too_nobody_is_hung():
    silences = Silences(10.0)
    silences.hung({7: 5.0}, now=100)
    assert silences.hung({7: 5.0}, now=10_000) == []


def test_a_new_process_begins_anew():
    silences = Silences(1.0)
    for tenth in range(10):
        silences.hung({7: 5.0}, now=100 + tenth / 10)
    assert silences.hung({8: 5.0}, now=102) == []
    assert silences.hung({8: 5.0}, now=102.5) == []
