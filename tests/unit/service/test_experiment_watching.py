"""Following the experiment file: seen when it changes, switched at its instant, the last good one kept."""

import asyncio
import logging
import os
from datetime import UTC, datetime, timedelta

import pytest
from serving_app import served
from serving_toys import CONTRACT, NOW, NOW_MICROS

from bentos.errors import Unavailable
from service.scoring.experiment import (
    Experiment,
    dump_experiment,
    first_experiment,
    set_split,
    start_shadow,
    stop,
    write_experiment,
)
from service.scoring.models import Identity, Model
from service.scoring.watching import ExperimentWatch

FIRST, SECOND, ABSENT = ("sha256:" + digit * 64 for digit in "abc")
SECOND_MICROS = 1_000_000


def model(version, digest):
    return Model(Identity(name="toy", version=version, digest=digest), CONTRACT, scorer=None)


MODELS = {FIRST: model("1", FIRST), SECOND: model("2", SECOND)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "experiment.yaml"


@pytest.fixture
def watch(path):
    write_experiment(path, off(FIRST))
    found = ExperimentWatch(path, MODELS, MODELS[FIRST])
    found.poll()
    return found


def off(champion, *, revision=1, at=NOW):
    return Experiment(revision=revision, effective_from=at, mode="off", champion=champion, salt="salt")


def shadow(challenger, *, lead=timedelta(0)):
    return start_shadow(off(FIRST), challenger, now=NOW, salt="salt", lead=lead)


def test_without_a_file_the_built_in_champion_serves_alone():
    watch = ExperimentWatch(None, MODELS, MODELS[FIRST])
    watch.poll()
    roles = watch.roles(NOW_MICROS)
    assert (roles.revision, roles.mode, roles.champion.digest, roles.challenger) == (0, "off", FIRST, None)
    assert watch.not_ready(NOW_MICROS) is None


def test_a_change_is_seen_at_the_next_look(watch, path):
    write_experiment(path, shadow(SECOND))
    watch.poll()
    roles = watch.roles(NOW_MICROS)
    assert (roles.revision, roles.mode, roles.challenger.digest) == (2, "shadow", SECOND)


def test_a_swap_of_links_is_seen(tmp_path):
    # As a ConfigMap is mounted: the file is a link through ..data, which is replaced.
    for name, experiment in (("one", off(FIRST)), ("two", shadow(SECOND))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "experiment.yaml").write_bytes(dump_experiment(experiment))
        os.utime(tmp_path / name / "experiment.yaml", ns=(1, 1))
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "experiment.yaml").symlink_to("..data/experiment.yaml")
    watch = ExperimentWatch(tmp_path / "experiment.yaml", MODELS, MODELS[FIRST])
    watch.poll()
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").replace(tmp_path / "..data")
    watch.poll()
    assert watch.roles(NOW_MICROS).mode == "shadow"


def test_a_revision_holds_from_its_instant_on(watch, path):
    write_experiment(path, shadow(SECOND, lead=timedelta(seconds=5)))
    watch.poll()
    assert watch.roles(NOW_MICROS + 5 * SECOND_MICROS - 1).revision == 1
    assert watch.roles(NOW_MICROS + 5 * SECOND_MICROS).revision == 2


def test_a_file_that_comes_before_another_takes_effect_does_not_undo_it(watch, path):
    first = shadow(SECOND, lead=timedelta(seconds=5))
    write_experiment(path, first)
    watch.poll()
    write_experiment(path, set_split(first, 0.1, now=NOW, lead=timedelta(seconds=9)))
    watch.poll()
    revisions = [watch.roles(NOW_MICROS + seconds * SECOND_MICROS).revision for seconds in (1, 6, 9)]
    assert revisions == [1, 2, 3]


def test_a_file_with_an_earlier_instant_replaces_what_was_to_come(watch, path):
    write_experiment(path, shadow(SECOND, lead=timedelta(seconds=9)))
    watch.poll()
    write_experiment(path, off(FIRST, revision=3, at=NOW + timedelta(seconds=2)))
    watch.poll()
    assert watch.roles(NOW_MICROS + 20 * SECOND_MICROS).revision == 3


@pytest.mark.parametrize("content", [b"", b"revision: [", b"revision: 0\n", b"\xff\xfe", b"champion: x"])
def test_a_bad_file_keeps_the_last_good_one(watch, path, content):
    path.write_bytes(content)
    watch.poll()
    assert watch.roles(NOW_MICROS).revision == 1
    assert watch.is_file_valid is False
    assert watch.not_ready(NOW_MICROS) is None


def test_a_file_that_vanishes_keeps_the_last_good_one(watch, path):
    path.unlink()
    watch.poll()
    assert watch.roles(NOW_MICROS).revision == 1
    assert watch.is_file_valid is False


def test_a_good_file_heals(watch, path):
    path.write_bytes(b"nonsense")
    watch.poll()
    write_experiment(path, shadow(SECOND))
    watch.poll()
    assert (watch.is_file_valid, watch.roles(NOW_MICROS).revision) == (True, 2)


def test_a_bad_file_is_logged_once(watch, path, caplog):
    with caplog.at_level(logging.ERROR, logger="gauntlet.experiment"):
        for number in range(3):
            path.write_bytes(b"revision: [")
            os.utime(path, ns=(number, number))
            watch.poll()
    assert [record.getMessage() for record in caplog.records] == ["experiment_file_invalid"]


def test_without_a_valid_file_at_the_start_nothing_is_ready(path):
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    assert "experiment.yaml" in watch.not_ready(NOW_MICROS)
    with pytest.raises(Unavailable, match="not ready"):
        watch.roles(NOW_MICROS)


def test_before_its_first_instant_nothing_is_ready(path):
    write_experiment(path, off(FIRST, at=NOW + timedelta(seconds=5)))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    assert "takes effect at 2026-03-01T12:00:05" in watch.not_ready(NOW_MICROS)
    assert watch.not_ready(NOW_MICROS + 5 * SECOND_MICROS) is None


def test_a_champion_that_the_bento_lacks_leaves_the_last_good_one_answering(watch, path):
    write_experiment(path, off(ABSENT, revision=2))
    watch.poll()
    assert watch.is_champion_present is False
    assert watch.not_ready(NOW_MICROS) is None
    assert watch.roles(NOW_MICROS).revision == 1


def test_a_process_that_starts_without_the_champion_is_not_ready(path):
    write_experiment(path, stop(off(ABSENT), now=NOW, lead=timedelta(0)))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    assert ABSENT in watch.not_ready(NOW_MICROS)
    with pytest.raises(Unavailable, match=ABSENT):
        watch.roles(NOW_MICROS)


@pytest.mark.parametrize("revision", [1, 2])
def test_a_revision_that_does_not_rise_is_refused_and_the_last_good_one_kept(watch, path, revision):
    write_experiment(path, shadow(SECOND))
    watch.poll()
    write_experiment(path, off(SECOND, revision=revision))
    watch.poll()
    assert watch.is_file_valid is False
    assert (watch.roles(NOW_MICROS).revision, watch.roles(NOW_MICROS).mode) == (2, "shadow")


def test_the_same_content_written_again_is_no_change(watch, path):
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(1, 1))
    watch.poll()
    assert watch.is_file_valid is True


def test_a_process_that_starts_before_an_instant_serves_what_holds_until_then(path):
    write_experiment(path, shadow(SECOND, lead=timedelta(seconds=5)))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    assert watch.not_ready(NOW_MICROS) is None
    assert watch.roles(NOW_MICROS).revision == 1
    assert watch.roles(NOW_MICROS + 5 * SECOND_MICROS).revision == 2


def test_a_retry_is_decided_as_the_request_was_on_any_replica(path):
    hour = timedelta(hours=1)
    second = start_shadow(off(FIRST), SECOND, now=NOW + hour, salt="salt", lead=timedelta(0))
    write_experiment(path, set_split(second, 0.5, now=NOW + 2 * hour, lead=timedelta(0)))
    replica = ExperimentWatch(path, MODELS, MODELS[FIRST])
    replica.poll()
    now = NOW_MICROS + 3 * 3600 * SECOND_MICROS
    found = [replica.roles_at(NOW_MICROS + minutes * 60 * SECOND_MICROS, now).revision for minutes in (30, 90, 150)]
    assert found == [1, 2, 3]
    assert replica.roles_at(0, now).revision == 3  # before all that is known: as now


def test_without_challengers_nobody_is_on_trial(path):
    write_experiment(path, shadow(SECOND))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST], without_challengers=True)
    watch.poll()
    assert (watch.roles(NOW_MICROS).mode, watch.roles(NOW_MICROS).trials) == ("off", ())


def test_a_challenger_that_the_bento_lacks_enrols_nobody(watch, path):
    write_experiment(path, set_split(shadow(ABSENT), 0.5, now=NOW, lead=timedelta(0)))
    watch.poll()
    roles = watch.roles(NOW_MICROS)
    assert (roles.mode, roles.split, roles.challenger) == ("off", 0.0, None)
    assert watch.is_challenger_present is False
    assert watch.not_ready(NOW_MICROS) is None


def test_a_new_installation_starts_with_the_champion_alone(path):
    write_experiment(path, first_experiment(FIRST, now=datetime.now(UTC)))
    watch = ExperimentWatch(path, MODELS, MODELS[FIRST])
    watch.poll()
    assert watch.roles(NOW_MICROS + 10**14).mode == "off"


def test_a_file_that_nobody_was_served_by_does_not_keep_the_good_one_out(watch, path):
    write_experiment(path, shadow(SECOND))
    watch.poll()
    write_experiment(path, off(ABSENT, revision=9))
    watch.poll()
    assert (watch.is_file_valid, watch.is_champion_present, watch.roles(NOW_MICROS).revision) == (True, False, 2)
    write_experiment(path, shadow(SECOND))
    watch.poll()
    assert (watch.is_file_valid, watch.is_champion_present, watch.roles(NOW_MICROS).revision) == (True, True, 2)
    write_experiment(path, off(SECOND, revision=3))
    watch.poll()
    assert watch.roles(NOW_MICROS).revision == 3


def test_whatever_a_file_does_to_its_reader_the_last_good_one_is_kept_and_it_shows(watch, path, monkeypatch, caplog):
    def fail(_path):
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("service.scoring.watching.read_content", fail)
    path.write_bytes(path.read_bytes() + b"\n")
    watch.poll()
    assert not watch.is_file_valid
    assert watch.roles(NOW_MICROS).revision == 1
    assert "nobody thought of this" in caplog.records[-1].reason


def test_a_pipe_in_the_files_place_keeps_nobody_waiting(watch, path):
    path.unlink()
    os.mkfifo(path)
    watch.poll()
    assert (watch.is_file_valid, watch.roles(NOW_MICROS).revision) == (False, 1)


def test_a_file_that_is_too_large_is_not_read(watch, path):
    path.write_bytes(b"#" * 1024 * 1025)
    watch.poll()
    assert (watch.is_file_valid, watch.roles(NOW_MICROS).revision) == (False, 1)


def kept_watch(path, kept):
    found = ExperimentWatch(path, MODELS, MODELS[FIRST], kept=kept)
    found.poll()
    return found


def test_who_is_started_again_goes_on_by_what_the_others_serve_by(path, tmp_path):
    kept = tmp_path / "counters" / "experiment.yaml"
    write_experiment(path, off(FIRST, revision=60))
    sibling = kept_watch(path, kept)
    write_experiment(path, off(SECOND, revision=3))
    sibling.poll()
    again = kept_watch(path, kept)
    for watch in (sibling, again):
        assert (watch.is_file_valid, watch.roles(NOW_MICROS).revision) == (False, 60)
    path.write_bytes(b"a: [")
    third = kept_watch(path, kept)
    assert (third.is_file_valid, third.roles(NOW_MICROS).revision) == (False, 60)
    write_experiment(path, off(SECOND, revision=61))
    third.poll()
    assert (third.is_file_valid, third.roles(NOW_MICROS).revision) == (True, 61)


@pytest.mark.parametrize("content", [b"a: [", b"a: 1" + b":1" * 180 + b".0", dump_experiment(off(ABSENT, revision=70))])
def test_what_is_kept_and_cannot_be_served_by_is_left_alone(path, tmp_path, content):
    kept = tmp_path / "experiment.kept"
    kept.write_bytes(content)
    write_experiment(path, off(FIRST, revision=3))
    assert kept_watch(path, kept).roles(NOW_MICROS).revision == 3


def test_a_file_is_kept_byte_for_byte_however_large_it_would_be_if_written_anew(path, tmp_path):
    kept = tmp_path / "experiment.kept"
    customers = ", ".join(f"c{i}" for i in range(120_000))
    pins = f"pins: [{{variant: champion, customers: [{customers}]}}]\n"
    path.write_bytes(dump_experiment(off(FIRST, revision=3)) + pins.encode())
    watch = kept_watch(path, kept)
    assert (watch.is_file_valid, watch.roles(NOW_MICROS).revision) == (True, 3)
    assert kept.read_bytes() == path.read_bytes()


def test_a_copy_that_cannot_be_written_costs_nothing_but_a_line(path, tmp_path, caplog):
    (tmp_path / "full").write_bytes(b"")
    write_experiment(path, off(FIRST, revision=3))
    assert kept_watch(path, tmp_path / "full" / "experiment.yaml").roles(NOW_MICROS).revision == 3
    assert "experiment_not_kept" in caplog.messages


def test_who_goes_on_by_what_is_kept_says_that_a_challenger_is_missing(path, tmp_path):
    kept = tmp_path / "experiment.kept"
    write_experiment(kept, shadow(ABSENT))
    path.write_bytes(b"a: [")
    assert kept_watch(path, kept).is_challenger_present is False


def test_a_look_that_fails_does_not_keep_the_others_from_happening(tmp_path, monkeypatch):
    with served(tmp_path, watch_interval_seconds=0.001, authentication="on") as app:
        keys_looked_at = asyncio.Event()
        monkeypatch.setattr(app.application.watch, "poll", lambda: 1 / 0)
        monkeypatch.setattr(app.application._keys, "poll", keys_looked_at.set)

        async def follow():
            await app.application.start()
            await asyncio.wait_for(keys_looked_at.wait(), 5)

        app.loop.run_until_complete(follow())
