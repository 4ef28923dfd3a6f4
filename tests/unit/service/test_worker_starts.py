"""Deaths of a worker over its restarts: two within a minute leave the challengers out."""

import json

import pytest

from bentos.errors import Refused
from service.settings import read_settings
from service.starts import counting_deaths


class Died(BaseException):
    """Stands for a process that is gone in the middle."""


@pytest.fixture
def settings(tmp_path):
    return read_settings(counters_folder=tmp_path, worker="scoring")


def start_and_die(settings, at):
    """A worker that starts at a second and dies; gives whether challengers were left out."""
    with pytest.raises(Died), counting_deaths(settings, clock=lambda: at) as allowed:
        raise Died
    return allowed.without_challengers


def start_and_end(settings, at):
    with counting_deaths(settings, clock=lambda: at) as allowed:
        pass
    return allowed.without_challengers


def test_two_deaths_within_a_minute_leave_the_challengers_out_at_the_next_start(settings):
    assert [start_and_die(settings, at) for at in (1000, 1010, 1030)] == [False, False, True]


def test_deaths_further_apart_do_not(settings):
    assert [start_and_die(settings, at) for at in (1000, 1010, 1071, 1140)] == [False] * 4


def test_the_challengers_come_back_after_a_minute_without_a_death(settings):
    for at in (1000, 1010, 1030):
        start_and_die(settings, at)
    assert start_and_die(settings, 1091) is False


def test_a_clean_stop_forgets_the_deaths_and_leaves_no_file(settings, tmp_path):
    for at in (1000, 1010):
        start_and_die(settings, at)
    assert start_and_end(settings, 1020) is True
    assert not list(tmp_path.iterdir())
    assert start_and_end(settings, 1021) is False


def test_a_start_that_is_refused_is_no_death(settings):
    for at in (1000, 1001, 1002):
        with pytest.raises(Refused), counting_deaths(settings, clock=lambda at=at: at):
            raise Refused("not this Bento")
    assert start_and_end(settings, 1003) is False


def test_a_clock_that_was_set_back_forgets_what_it_has_not_reached_yet(settings):
    for at in (5000, 5010):
        start_and_die(settings, at)
    assert start_and_die(settings, 1000) is False


def test_a_file_that_a_full_disk_left_in_pieces_is_one_death(settings, tmp_path):
    (tmp_path / "scoring.starts").write_text('{"deaths": [99')
    assert start_and_die(settings, 1000) is False
    assert json.loads((tmp_path / "scoring.starts").read_text()) == {"deaths": [1000]}


def test_what_is_set_by_hand_stays(tmp_path):
    settings = read_settings(counters_folder=tmp_path, worker="scoring", without_challengers=True)
    assert start_and_end(settings, 1000) is True


def test_where_the_folder_cannot_be_written_to_the_worker_starts_and_says_so(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    settings = read_settings(counters_folder=tmp_path / "file", worker="scoring")
    assert start_and_end(settings, 1000) is False
    assert [record.message for record in caplog.records] == ["deaths_not_counted"]


def test_two_workers_of_one_name_count_apart(settings):
    with counting_deaths(settings, clock=lambda: 1000):
        assert [start_and_die(settings, at) for at in (1001, 1002)] == [False, False]
    assert start_and_die(settings, 1003) is False
