"""The experiment file: what may stand in it, what changes it, and what identifies an experiment."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bentos.errors import InvalidExperiment, NotFound
from service.scoring.experiment import (
    Further,
    Pin,
    changing,
    dump_experiment,
    end_trial,
    first_experiment,
    parse_experiment,
    read_experiment,
    set_split,
    start_shadow,
    stop,
    swap_roles,
    write_experiment,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
LEAD = timedelta(seconds=5)
HOUR = timedelta(hours=1)
CHAMPION, CHALLENGER = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def off():
    return first_experiment(CHAMPION, now=NOW)


@pytest.fixture
def shadow(off):
    return start_shadow(off, CHALLENGER, now=NOW, salt="s", lead=LEAD)


@pytest.fixture
def split(shadow):
    return set_split(shadow, 0.25, now=NOW, lead=LEAD)


def test_what_is_written_is_read(split, tmp_path):
    write_experiment(tmp_path / "experiment.yaml", split)
    assert read_experiment(tmp_path / "experiment.yaml") == split
    assert [path.name for path in tmp_path.iterdir()] == ["experiment.yaml"]


def test_two_changes_at_once_are_made_one_after_the_other(shadow, tmp_path):
    path = tmp_path / "experiment.yaml"
    write_experiment(path, shadow)

    def raise_split(_):
        with changing(path):
            current = read_experiment(path)
            write_experiment(path, set_split(current, 0.5, now=NOW, lead=LEAD))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(raise_split, range(40)))
    assert read_experiment(path).revision == shadow.revision + 40


def test_every_change_is_a_revision_that_holds_after_the_lead(off, shadow, split):
    assert [e.revision for e in (off, shadow, split, stop(split, now=NOW, lead=LEAD))] == [1, 2, 3, 4]
    assert split.effective_from == NOW + LEAD


def test_a_split_is_a_phase_of_the_same_experiment_and_a_shadow_of_who_is_named_takes_it_up_again(shadow, split):
    assert split.id == shadow.id
    off = stop(split, now=NOW, lead=LEAD)
    again = start_shadow(off, CHALLENGER, now=NOW, salt="t", lead=LEAD)
    assert (again.id, again.mode, again.split) == (split.id, "shadow", 0.0)


def test_a_shadow_of_somebody_else_is_another_experiment_under_its_own_salt(split):
    other = "sha256:" + "d" * 64
    off = stop(split, now=NOW, lead=LEAD)
    for named in ((other,), (CHALLENGER, other)):
        after = start_shadow(off, *named, now=NOW, salt="t", lead=LEAD)
        assert (after.salt, after.id == split.id) == ("t", False)
    alone = end_trial(split, CHALLENGER, now=NOW, lead=LEAD)
    assert start_shadow(alone, CHALLENGER, now=NOW, salt="t", lead=LEAD).salt == "t"


def test_after_a_promotion_the_roles_are_assigned_by_another_salt(split):
    after = swap_roles(split, now=NOW, lead=LEAD)
    assert after.salt != split.salt
    assert start_shadow(after, after.challenger, now=NOW, salt="t", lead=LEAD).salt == after.salt


def test_a_challenger_on_trial_is_not_put_on_trial_again(split):
    with pytest.raises(InvalidExperiment, match="on trial already, mode split in revision 3"):
        start_shadow(split, CHALLENGER, now=NOW, salt="t", lead=LEAD)


def test_a_promotion_swaps_roles_and_enrols_nobody(split):
    after = swap_roles(split, now=NOW, lead=LEAD)
    assert (after.champion, after.challenger, after.mode, after.split) == (CHALLENGER, CHAMPION, "off", 0.0)


def test_an_unquoted_off_stops_the_challenger(split):
    content = dump_experiment(stop(split, now=NOW, lead=LEAD)).replace(b"mode: 'off'", b"mode: off")
    assert b"mode: off" in content
    assert parse_experiment(content).mode == "off"


def test_an_unquoted_time_is_read(split):
    content = dump_experiment(split).replace(b"'2026-01-31T12:00:05Z'", b"2026-01-31T12:00:05Z")
    assert parse_experiment(content) == split


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b"split: 0.25", b"split: 2", "split is 2; it must be in [0, 1]"),
        (b"split: 0.25", b"split: 0", "in mode split it must be above 0"),
        (b"split: 0.25", b"split: a lot", "split"),
        (b"mode: split", b"mode: shadow", "split is 0.25; it must be 0 in mode shadow"),
        (b"mode: split", b"mode: canary", "mode"),
        (b"revision: 3", b"revision: 0", "revision is 0; it must be from 1 to 2^63 - 1"),
        (b"05Z", b"05", "time zone"),
        (b"revision: 3", b"revision: 9223372036854775808", "from 1 to 2^63 - 1"),
        (b"'2026-01-31T12:00:05Z'", b"2026-02-30T00:00:00Z", "day is out of range"),
        (b"'2026-01-31T12:00:05Z'", b"'0001-01-01T00:00:00+14:00'", "in the year 1"),
        (b"salt: s", b"salt: s\nsalt: t", "'salt' is written twice"),
        (b"salt: s", b"salt: " + b"[" * 3000 + b"]" * 3000, "nested too deeply"),
        (b"salt: s", b"salt: ''", "salt is ''; any text"),
        (CHALLENGER.encode(), b"churn:2", "challenger is 'churn:2'; it must be an artifact digest"),
        (CHALLENGER.encode(), CHAMPION.encode(), "the same artifact"),
        (b"champion:", b"champoin:", "champ"),
        (b"revision: 3", b"revision: [", "experiment.yaml"),
    ],
)
def test_a_file_that_cannot_be_served_by_is_refused_by_name(split, old, new, named):
    content = dump_experiment(split)
    assert old in content
    with pytest.raises(InvalidExperiment) as refused:
        parse_experiment(content.replace(old, new))
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mode_that_needs_a_challenger_is_refused_without_one(off):
    with pytest.raises(InvalidExperiment, match="no challenger to give a split to"):
        set_split(off, 0.5, now=NOW, lead=LEAD)
    with pytest.raises(InvalidExperiment, match="no challenger to promote"):
        swap_roles(off, now=NOW, lead=LEAD)


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_a_share_outside_its_range_is_refused(shadow, share):
    with pytest.raises(InvalidExperiment, match="above 0 and at most 1"):
        set_split(shadow, share, now=NOW, lead=LEAD)


def test_a_file_that_is_not_there_says_who_makes_it(tmp_path):
    with pytest.raises(NotFound, match="gauntlet serve"):
        read_experiment(tmp_path / "experiment.yaml")


def test_a_change_keeps_what_held_before_for_a_day():
    first = first_experiment(CHAMPION, now=NOW)
    shadow = start_shadow(first, CHALLENGER, now=NOW + HOUR, salt="s", lead=LEAD)
    split = set_split(shadow, 0.5, now=NOW + 2 * HOUR, lead=LEAD)
    assert [phase.revision for phase in split.history] == [1, 2]
    assert parse_experiment(dump_experiment(split)) == split
    later = stop(split, now=NOW + 25.5 * HOUR, lead=LEAD)
    assert [phase.revision for phase in later.history] == [2, 3]  # the first ended more than 24 hours ago


def test_a_phase_that_was_replaced_before_it_began_is_no_history():
    first = first_experiment(CHAMPION, now=NOW)
    planned = start_shadow(first, CHALLENGER, now=NOW, salt="s", lead=HOUR)
    undone = stop(planned, now=NOW, lead=LEAD)
    last = stop(undone, now=NOW + HOUR, lead=LEAD)
    assert [(phase.revision, phase.mode) for phase in last.history if phase.mode == "shadow"] == []


def test_several_challengers_each_have_an_experiment_and_a_split():
    other = "sha256:" + "c" * 64
    first = first_experiment(CHAMPION, now=NOW)
    trial = start_shadow(first, CHALLENGER, other, now=NOW, salt="s", lead=LEAD)
    assert [digest for digest, _ in trial.challengers] == [CHALLENGER, other]
    assert trial.experiment_id(CHALLENGER) == trial.id != trial.experiment_id(other)
    split = set_split(trial, 0.2, now=NOW, lead=LEAD)
    assert split.challengers == ((CHALLENGER, 0.2), (other, 0.2))
    assert parse_experiment(dump_experiment(split)) == split
    assert swap_roles(split, now=NOW, lead=LEAD).further == ()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sample": 0.0}, "sample is 0; it must be above 0"),
        ({"holdout": 1.0}, "holdout is 1; it must be in [0, 1)"),
        ({"no_treatment": -0.1}, "no_treatment is -0.1"),
        ({"population_salt": ""}, "population_salt is ''"),
        ({"salt": "a\nb"}, "salt is 'a\\nb'"),
        ({"further": (Further(challenger=CHALLENGER),)}, "further names a model that has a role already"),
        ({"further": (Further(challenger="churn:3"),)}, "further[0].challenger is 'churn:3'"),
        ({"further": (Further(challenger="sha256:" + "c" * 64, split=2),)}, "further[0].split is 2"),
        ({"pins": (Pin(variant="winner", customers=("c",)),)}, "pins"),
    ],
)
def test_shares_pins_and_further_challengers_are_checked(split, changes, named):
    content = dump_experiment(msgspec.structs.replace(split, **changes))
    with pytest.raises(InvalidExperiment, match=re.escape(named)):
        parse_experiment(content)
