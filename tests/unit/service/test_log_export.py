"""`gauntlet log export`: every prediction with its truth, ordered, as lines or as Parquet."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from log_toys import DAY, NOW, OLD, id_of, land, outcome, prediction, treatment

import gauntlet
from bentos.errors import InvalidSetting
from service.micros import from_micros, to_micros
from service.prediction_log import exporting
from service.prediction_log.exporting import Wanted, export_file, export_jsonl
from service.store import open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def exported(store, **wanted):
    file = io.BytesIO()
    count = export_jsonl(store, Wanted(**{"as_of": to_micros(NOW), **wanted}), file)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert len(lines) == count
    return lines


def test_a_line_holds_the_record_its_truth_and_what_was_done(store, tmp_path):
    record = prediction(1, latency_us=7, client="till")
    land(store, tmp_path, record, outcome(1), treatment(1), treatment(1, action="mail", taken_at=5))
    (line,) = exported(store)
    own = {name: getattr(record, name) for name in record.__struct_fields__ if name not in ("v", "at")}
    assert {name: line[name] for name in own} == own
    assert line["at"] == OLD.isoformat().replace("+00:00", "Z")
    assert (line["truth"], line["outcomes"]) == (True, 1)
    assert line["observed_at"] == (OLD + DAY).isoformat().replace("+00:00", "Z")
    assert [one["action"] for one in line["treatments"]] == ["mail", "call"]


@pytest.mark.parametrize(
    ("told", "truth"),
    [
        ([], None),
        ([(5, 9, False), (6, 8, True)], True),
        ([(6, 8, True), (5, 9, False)], True),
        ([(5, 8, True), (5, 9, False)], False),
        ([(5, 9, False), (5, 9, True)], True),
        ([(5, 9, False), (to_micros(NOW) + 1, 9, True)], False),
        ([(to_micros(NOW) + 1, 9, True)], None),
    ],
)
def test_the_truth_is_the_judges(store, tmp_path, told, truth):
    """Last by the moment at which it was seen, then told; nothing that was seen later than one looks."""
    outcomes = [outcome(1, observed_at=seen, received_at=got, positive=positive) for seen, got, positive in told]
    land(store, tmp_path, prediction(1), *outcomes)
    (line,) = exported(store)
    assert (line["truth"], line["outcomes"]) == (truth, len(told))
    assert truth is judges_truth(store)


def judges_truth(store):
    """What the judge's own query says of the one prediction that there is."""
    from pathlib import Path

    from validation.judge.policy import load_policy
    from validation.judge.selecting import first_predictions

    policy = load_policy(Path(gauntlet.__file__).parent / "validation" / "policies" / "online.yaml")
    until = to_micros(NOW) * 2
    moment = to_micros(NOW)
    query = first_predictions(["e"], policy, since=None, until=until, moment=moment, is_postgresql=store.is_postgresql)
    with store.reading() as connection:
        return connection.execute(query).one().truth


def test_lines_come_by_id_and_pages_lose_none(store, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "PAGE_ROWS", 7)
    numbers = [(number * 37) % 50 for number in range(50)]
    moments = [OLD + number * DAY / 24 for number in range(50)]
    land(store, tmp_path, *(record(n, moments[n]) for record in (prediction, outcome) for n in numbers))
    lines = exported(store)
    assert [line["prediction_id"] for line in lines] == [id_of(n, moments[n]) for n in range(50)]
    assert {line["outcomes"] for line in lines} == {1}


def test_since_until_and_experiment_choose(store, tmp_path):
    moments = [OLD, OLD + DAY, OLD + 2 * DAY]
    land(store, tmp_path, *(prediction(n, at, experiment=f"e{n}") for n, at in enumerate(moments)))
    chosen = {"since": OLD + DAY, "until": OLD + 2 * DAY}
    assert [line["experiment"] for line in exported(store, **chosen)] == ["e1"]
    assert [line["experiment"] for line in exported(store, since=OLD + DAY)] == ["e1", "e2"]
    assert [line["experiment"] for line in exported(store, experiment="e0")] == ["e0"]


def test_a_clients_own_id_from_the_day_before_is_found_by_the_time_of_its_prediction(store, tmp_path):
    land(store, tmp_path, prediction(1, OLD + DAY, prediction_id=id_of(1, OLD)))
    assert len(exported(store, since=OLD + DAY)) == 1


def test_parquet_holds_the_same(store, tmp_path):
    land(store, tmp_path, prediction(1), outcome(1), treatment(1), prediction(2, customer_id=None))
    wanted = Wanted(as_of=to_micros(NOW))
    assert export_file(store, wanted, tmp_path / "log.parquet", "parquet") == 2
    rows = pq.read_table(tmp_path / "log.parquet").to_pylist()
    lines = exported(store)
    for row, line in zip(rows, lines, strict=True):
        row["features"] = json.loads(row["features"])
        assert json.loads(json.dumps(row, default=lambda at: at.isoformat().replace("+00:00", "Z"))) == line


def test_a_moment_that_no_calendar_reaches_stops_nothing(store, tmp_path):
    land(store, tmp_path, prediction(1), outcome(1, observed_at=2**62))
    (line,) = exported(store, as_of=2**63 - 1)
    assert line["observed_at"].startswith("9999-12-31")


def test_an_export_that_fails_leaves_the_old_file_and_nothing_beside_it(store, tmp_path, monkeypatch):
    land(store, tmp_path, prediction(1))
    path = tmp_path / "out" / "log.jsonl"
    path.parent.mkdir()
    path.write_text("old")

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(exporting, "_line", fail)
    with pytest.raises(OSError, match="no room"):
        export_file(store, Wanted(as_of=0), path, "jsonl")
    assert [(found.name, found.read_text()) for found in path.parent.iterdir()] == [("log.jsonl", "old")]


def test_an_output_without_a_folder_is_told(store, tmp_path):
    with pytest.raises(InvalidSetting, match="nowhere"):
        export_file(store, Wanted(as_of=0), tmp_path / "nowhere" / "log.jsonl", "jsonl")


def test_lines_need_no_parquet_library(store, tmp_path):
    store.close()
    code = (
        "import sys; import gauntlet; sys.argv = ['gauntlet', 'log', 'export', '--folder', sys.argv[1]]\n"
        "try: gauntlet.main()\nfinally: print('pyarrow' in sys.modules, file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert found.stderr == "False\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--format", "parquet"], "--output FILE"),
        (["--since", "yesterday"], "--since is 'yesterday'"),
        (["--until", "2026-01-01"], "--until is '2026-01-01'; it must have a time zone"),
    ],
)
def test_bad_arguments_are_named(tmp_path, arguments, told):
    found = CliRunner().invoke(gauntlet.cli, ["log", "export", "--folder", str(tmp_path), *arguments])
    assert isinstance(found.exception, InvalidSetting)
    assert told in str(found.exception)


def test_the_command_prints_what_is_there(store, tmp_path):
    land(store, tmp_path, prediction(1), outcome(1))
    store.close()
    found = CliRunner().invoke(gauntlet.cli, ["log", "export", "--folder", str(tmp_path)])
    assert json.loads(found.stdout)["truth"] is True
    assert from_micros(to_micros(OLD)) == OLD
