"""`gauntlet ship --orphans`: spools whose owner is gone are shipped to their end, and no cohort waits any longer."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from log_toys import NOW, OLD, all_about, id_of, in_store, land, prediction
from shipping_toys import rows, spool_row, spooled

import gauntlet
from bentos.errors import InvalidSetting, NotFound, Unavailable
from service.micros import to_micros
from service.prediction_log import chunks, shipper
from service.prediction_log.lines import encode_line
from service.prediction_log.orphans import held_if_orphan, ship_orphans
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import ship
from service.prediction_log.spool import Spool
from service.store import open_store, tables
from validation.judge.closing import close_cohorts
from validation.judge.policy import load_policy

POLICY = load_policy(Path(gauntlet.__file__).parent / "validation" / "policies" / "online.yaml")
EXPERIMENT = "e"


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def collect(store, *folders, now=NOW, **options):
    return ship_orphans(store, folders, who="ann", now=now, **options)


def closed_through(store, now=NOW):
    close_cohorts(store, EXPERIMENT, POLICY, now=now)
    return [row["closed_through"] for row in rows(store, tables.closings)]


def test_an_orphan_is_shipped_and_keeps_no_cohort_open(store, tmp_path):
    folder = spooled(tmp_path / "node", *all_about(1))
    land(store, tmp_path, prediction(2), worker="alive")
    ship(folder, store, now=OLD)
    assert closed_through(store, OLD + timedelta(days=9)) == closed_through(store, NOW)  # stands still for the orphan
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(encode_line(prediction(5)))
    (one,) = collect(store, folder)
    assert (one.state, one.predictions) == ("drained", 1)
    assert id_of(5, OLD) in in_store(store)["predictions"]
    assert spool_row(store)["lost_at"] == to_micros(NOW)


def test_cohorts_close_once_the_orphan_is_drained_and_count_what_it_brought(store, tmp_path):
    ship(spooled(tmp_path / "node", prediction(1)), store, now=OLD)
    with segments_of(tmp_path / "node" / "w")[-1].open("ab") as file:
        file.write(encode_line(prediction(2)))
    assert close_cohorts(store, EXPERIMENT, POLICY, now=NOW) == []
    collect(store, tmp_path / "node")
    assert sum(cohort.counts.n for cohort in close_cohorts(store, EXPERIMENT, POLICY, now=NOW)) == 2


def test_nothing_closes_while_an_orphan_is_only_partly_shipped(store, tmp_path, monkeypatch):
    folder = spooled(tmp_path / "node", *(prediction(number) for number in range(10)))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 1000)
    really, calls = shipper.move_cursor, []

    def move_once(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise Unavailable("gone")
        return really(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(shipper, "move_cursor", move_once)
        with pytest.raises(Unavailable):
            collect(store, folder)
    assert 0 < len(in_store(store)["predictions"]) < 10
    assert (spool_row(store)["watermark"], spool_row(store)["lost_at"]) == (0, None)
    assert close_cohorts(store, EXPERIMENT, POLICY, now=NOW) == []
    collect(store, folder)
    assert sum(cohort.counts.n for cohort in close_cohorts(store, EXPERIMENT, POLICY, now=NOW)) == 10


def test_a_spool_that_a_live_process_writes_to_is_left_alone_and_named(store, tmp_path):
    alive = Spool(tmp_path / "node", "alive")
    alive.append(prediction(1))
    spooled(tmp_path / "node", prediction(2), worker="gone")
    found = {one.worker: one for one in collect(store, tmp_path / "node")}
    assert (found["alive"].state, found["gone"].state) == ("alive", "drained")
    assert "left alone" in str(found["alive"])
    assert in_store(store)["predictions"] == [id_of(2, OLD)]
    assert [row["worker"] for row in rows(store, tables.spools)] == ["gone"]
    assert alive.append(prediction(3))
    alive.close()


def test_no_new_owner_begins_behind_what_is_taken_for_the_end(tmp_path):
    folder = spooled(tmp_path, prediction(1))
    with held_if_orphan(folder / "w") as is_orphan:
        assert is_orphan
        newcomer = Spool(folder, "w")
        assert newcomer.worker == "w-2"
        newcomer.close()


def test_a_line_that_lacks_its_end_is_mended_and_one_that_is_cut_is_a_dead_letter(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1), worker="whole")
    spooled(folder, prediction(2), worker="cut")
    for worker, cut in (("whole", -1), ("cut", -20)):
        with segments_of(folder / worker)[-1].open("ab") as file:
            file.write(encode_line(prediction(3))[:cut])
    found = {one.worker: one for one in collect(store, folder)}
    assert (found["whole"].predictions, found["whole"].bad_lines) == (2, 0)
    assert (found["cut"].predictions, found["cut"].bad_lines) == (1, 1)
    assert (folder / "cut" / "dead-letters.txt").exists()


def test_what_was_shipped_is_deleted_and_collecting_again_finds_it_done(store, tmp_path):
    folder = spooled(tmp_path / "node", *all_about(1))
    collect(store, folder)
    assert [segment.stat().st_size for segment in segments_of(folder / "w")] == [0]
    (again,) = collect(store, folder, now=NOW + timedelta(days=1))
    assert again.state == "drained before"
    assert spool_row(store)["lost_at"] == to_micros(NOW)
    assert len(rows(store, tables.upkeep)) == 1


def test_it_is_recorded_who_asked(store, tmp_path):
    collect(store, spooled(tmp_path / "node", prediction(1)))
    (row,) = rows(store, tables.upkeep)
    assert (row["action"], row["who"], row["subject"]) == ("drain", "ann", "w")


def test_an_orphan_whose_name_another_spool_bears_gets_a_name_of_its_own(store, tmp_path):
    """Two machines called their workers alike, and one of them lives."""
    alive = Spool(tmp_path / "spool", "w")
    alive.append(prediction(1))
    ship(tmp_path / "spool", store)
    before = dict(spool_row(store))
    folder = spooled(tmp_path / "node", prediction(2))
    (one,) = collect(store, folder)
    assert one.worker.startswith("w-")
    assert (folder / one.worker).is_dir()
    assert not (folder / "w").exists()
    assert dict(spool_row(store)) == before
    assert in_store(store)["predictions"] == [id_of(1, OLD), id_of(2, OLD)]
    alive.close()


def test_an_owner_who_comes_back_is_waited_for_again(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1))
    collect(store, folder)
    spooled(folder, prediction(2))
    ship(folder, store, now=NOW)
    assert spool_row(store)["lost_at"] is None
    assert len(in_store(store)["predictions"]) == 2


def test_a_spool_without_segments_is_told_and_what_the_store_knows_of_it_stays(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1))
    ship(folder, store, now=OLD)
    for segment in segments_of(folder / "w"):
        segment.unlink()
    (one,) = collect(store, folder)
    assert one.state == "empty"
    assert "--give-up w" in str(one)
    assert spool_row(store)["lost_at"] is None


def test_an_orphans_forgotten_people_stay_forgotten_by_the_key_of_the_installation(store, tmp_path):
    from log_toys import places

    from service.prediction_log.forgetting import forget

    folder = spooled(tmp_path / "node" / "spool", prediction(1, customer_id="me"), prediction(2))
    forget(store, "me", places=places(tmp_path), who="ann", now=NOW)
    with pytest.raises(Unavailable, match="stays in its spool"):
        collect(store, folder)
    ship_orphans(store, [folder], who="ann", now=NOW, key_file=tmp_path / "tombstone.key")
    assert in_store(store)["predictions"] == [id_of(2, OLD)]


def test_a_folder_that_is_none_or_is_one_spool_is_named(store, tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        collect(store, tmp_path / "nowhere")
    folder = spooled(tmp_path / "node", prediction(1))
    with pytest.raises(InvalidSetting, match="one spool; name the folder that it lies in"):
        collect(store, folder / "w")


def test_spools_of_pods_that_share_a_volume_are_found_below_it(store, tmp_path):
    volume = tmp_path / "volume"
    spooled(volume / "pod-1", prediction(1), worker="pod-1")
    spooled(volume / "pod-2", prediction(2), worker="pod-2")
    spooled(volume / "pod-2", prediction(3), worker="pod-2-2")
    (volume / "pod-3").mkdir()  # mounted, and nobody has begun to write
    (volume / "lost+found").mkdir()
    assert [one.worker for one in collect(store, volume)] == ["pod-1", "pod-2", "pod-2-2"]
    assert in_store(store)["predictions"] == [id_of(number, OLD) for number in (1, 2, 3)]
    assert not list((volume / "pod-3").iterdir())


def test_a_spool_that_somebody_ships_is_left_alone_whoever_holds_its_lock(store, tmp_path):
    """As where the disk does not carry locks from one machine to the other."""
    volume = tmp_path / "volume"
    for number in (1, 2):
        ship(spooled(volume / f"pod-{number}", prediction(number), worker=f"pod-{number}"), store, now=OLD)
    before = {row["worker"]: dict(row) for row in rows(store, tables.spools)}
    asked = []

    def meanwhile(seconds):
        asked.append(seconds)
        ship(volume / "pod-1", store, now=OLD + timedelta(minutes=1))

    found = {one.worker: one for one in collect(store, volume, watch_seconds=60, pause=meanwhile)}
    assert asked == [60]
    assert {worker: one.state for worker, one in found.items()} == {"pod-1": "attended", "pod-2": "drained"}
    assert "left alone" in str(found["pod-1"])
    after = {row["worker"]: dict(row) for row in rows(store, tables.spools)}
    assert after["pod-1"]["lost_at"] is None
    assert after["pod-1"]["segment"] == before["pod-1"]["segment"]
    assert after["pod-2"]["lost_at"] == to_micros(NOW)


def test_a_spool_that_the_store_hears_of_while_it_is_watched_is_left_alone(store, tmp_path):
    """Its shipper could not reach the store until now."""
    folder = spooled(tmp_path / "node", prediction(1))
    (one,) = collect(store, folder, watch_seconds=60, pause=lambda _: ship(folder, store, now=OLD))
    assert one.state == "attended"
    (one,) = collect(store, folder, watch_seconds=60, pause=lambda _: None)
    assert one.state == "drained"


def test_another_spool_of_the_same_name_is_no_sign_of_life(store, tmp_path):
    ship(spooled(tmp_path / "spool", prediction(1)), store, now=OLD)
    folder = spooled(tmp_path / "node", prediction(2))
    moved = OLD + timedelta(minutes=1)
    (one,) = collect(store, folder, watch_seconds=60, pause=lambda _: ship(tmp_path / "spool", store, now=moved))
    assert (one.state, one.predictions) == ("drained", 1)


def test_a_spool_that_is_found_drained_a_second_time_is_cleared_away(store, tmp_path):
    volume = tmp_path / "volume"
    spooled(volume / "pod-1", prediction(1), worker="pod-1")
    (first,) = collect(store, volume)
    assert (first.state, first.is_cleared) == ("drained", False)
    (second,) = collect(store, volume)
    assert (second.state, second.is_cleared) == ("drained before", True)
    assert "it is cleared away" in str(second)
    assert [path.name for path in (volume / "pod-1" / "pod-1").iterdir()] == [".lock"]
    assert collect(store, volume) == []


def test_an_owner_who_comes_back_to_a_spool_that_was_cleared_away_is_collected_again(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1))
    collect(store, folder)
    collect(store, folder)
    spooled(folder, prediction(2))
    (one,) = collect(store, folder)
    assert (one.state, one.predictions) == ("drained", 1)
    assert in_store(store)["predictions"] == [id_of(1, OLD), id_of(2, OLD)]


def test_a_spool_that_was_half_cleared_away_is_cleared_in_the_end(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1))
    collect(store, folder)
    (folder / "w" / "spool-id").unlink()
    assert [one.state for _ in range(2) for one in collect(store, folder)] == ["drained", "drained before"]
    assert collect(store, folder) == []


def test_a_drained_spool_with_dead_letters_stays_as_it_is(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1))
    (folder / "w" / "dead-letters.txt").write_text("cut\n")
    collect(store, folder)
    before = {path.name for path in (folder / "w").iterdir()}
    (again,) = collect(store, folder)
    assert (again.state, again.is_cleared) == ("drained before", False)
    assert {path.name for path in (folder / "w").iterdir()} == before


def test_a_spool_that_cannot_be_written_to_keeps_none_of_the_others_waiting(store, tmp_path):
    folder = spooled(tmp_path / "node", prediction(1), worker="broken")
    (folder / "broken" / ".lock").unlink()
    (folder / "broken" / ".lock").mkdir()
    spooled(folder, prediction(2), worker="whole")
    with pytest.raises(InvalidSetting, match="broken must be writable"):
        collect(store, folder)
    assert in_store(store)["predictions"] == [id_of(2, OLD)]


def gauntlet_ship(tmp_path, *arguments):
    return CliRunner().invoke(gauntlet.cli, ["ship", "--folder", str(tmp_path), *arguments])


def test_the_command_collects_and_tells(store, tmp_path):
    folder = spooled(tmp_path / "node", *all_about(1))
    found = gauntlet_ship(tmp_path, "--orphans", str(folder))
    assert "drained, moved 1 predictions, 1 outcomes, 1 treatments" in found.stdout
    assert len(in_store(store)["predictions"]) == 1


def test_the_command_gives_a_lost_spool_up(store, tmp_path):
    ship(spooled(tmp_path / "node", prediction(1)), store, now=OLD)
    found = gauntlet_ship(tmp_path, "--give-up", "w", "--reason", "the disk burnt")
    assert found.exception is None
    assert spool_row(store)["lost_at"]
    assert rows(store, tables.audit)[0]["reason"] == "the disk burnt"


def test_the_command_watches_first(store, tmp_path):
    found = gauntlet_ship(tmp_path, "--orphans", "--watch", "0.01", str(spooled(tmp_path / "node", prediction(1))))
    assert "drained, moved 1 predictions" in found.stdout


@pytest.mark.parametrize("arguments", [["--give-up", "w"], ["--reason", "x"], ["somewhere"], ["--watch", "1"]])
def test_arguments_that_lack_another_are_told(tmp_path, arguments):
    assert isinstance(gauntlet_ship(tmp_path, *arguments).exception, InvalidSetting)


@pytest.fixture
def stopped(monkeypatch):
    """A shipper that is told to stop as soon as it has begun."""
    monkeypatch.setattr("service.logs.log_to_stderr", lambda _: None)
    monkeypatch.setattr(shipper, "run_shipper", lambda spool, store, **_: ship(spool, store))


def end(folder, *options):
    done = CliRunner().invoke(gauntlet.cli, ["ship", "--folder", str(folder), *options])
    assert done.exit_code == 0, done.output


def test_a_spool_that_ends_with_its_pod_keeps_no_cohort_open(stopped, tmp_path):
    spooled(tmp_path / "spool", prediction(1))
    end(tmp_path, "--ends-spools")
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert spool_row(store)["lost_at"] is not None
    assert len(in_store(store)["predictions"]) == 1
    ship(tmp_path / "spool", store)
    assert spool_row(store)["lost_at"] is None, "one that goes on is waited for again"
    store.close()


def test_one_to_which_somebody_writes_is_waited_for_whoever_stops_its_shipper(stopped, tmp_path):
    writing = Spool(tmp_path / "spool", "w")
    end(tmp_path, "--ends-spools")
    writing.close()
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert spool_row(store)["lost_at"] is None
    store.close()


def test_without_being_told_so_a_shipper_ends_no_spool(stopped, tmp_path):
    spooled(tmp_path / "spool", prediction(1))
    end(tmp_path)
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    assert spool_row(store)["lost_at"] is None
    store.close()
