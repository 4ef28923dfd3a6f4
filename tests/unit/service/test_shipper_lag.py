"""The shipper's own metrics: what it moved, and how far it is behind."""

from __future__ import annotations

import socket
import threading
import urllib.request
from datetime import timedelta

import pytest
from click.testing import CliRunner
from prometheus_client import CollectorRegistry
from shipping_toys import NOW, outcome, prediction, spooled, treatment

import gauntlet
from bentos.errors import InvalidSetting
from service.metric_names import SHIPPER_HELP, Shipper
from service.prediction_log.lag import Lag, serving_metrics
from service.prediction_log.segments import segments_of
from service.prediction_log.shipper import Progress, run_shipper, ship
from service.prediction_log.spool import Spool
from service.store import open_store


@pytest.fixture
def store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


def registry_of(progress, folder, now=NOW):
    registry = CollectorRegistry()
    registry.register(Lag(progress, folder, clock=lambda: now))
    return registry


def test_every_name_is_exported_with_its_help_from_the_beginning(tmp_path):
    families = registry_of(Progress(), tmp_path / "nowhere").collect()
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): family.documentation for family in families
    }
    assert exported == SHIPPER_HELP


def test_rows_are_counted_by_kind_with_duplicates_and_bad_lines(tmp_path, store):
    folder, progress = tmp_path / "spool", Progress()
    spooled(folder, prediction(1), prediction(1), outcome(1), outcome(2), treatment(1))
    with segments_of(folder / "w")[-1].open("ab") as file:
        file.write(b"bad\n")
    ship(folder, store, progress=progress)
    value = registry_of(progress, folder).get_sample_value
    kinds = {kind: value(Shipper.ROWS, {"kind": kind}) for kind in ("prediction", "outcome", "treatment")}
    assert kinds == {"prediction": 1, "outcome": 2, "treatment": 1}
    assert (value(Shipper.DUPLICATES), value(Shipper.BAD_LINES), value(Shipper.PASSES_FAILED)) == (1, 1, 0)


def test_what_waits_is_what_stands_behind_the_cursor(tmp_path, store):
    folder, progress = tmp_path / "spool", Progress()
    spool = Spool(folder, "w", segment_bytes=1000)
    for number in range(10):
        spool.append(prediction(number))
    in_all = sum(path.stat().st_size for path in segments_of(folder / "w"))
    waiting = registry_of(progress, folder).get_sample_value
    assert waiting(Shipper.SPOOL_BYTES, {"spool": "w"}) == in_all
    assert waiting(Shipper.WATERMARK_AGE, {"spool": "w"}) is None
    ship(folder, store, now=NOW, progress=progress)
    later = registry_of(progress, folder, NOW + timedelta(seconds=90)).get_sample_value
    assert later(Shipper.SPOOL_BYTES, {"spool": "w"}) == 0
    assert later(Shipper.WATERMARK_AGE, {"spool": "w"}) == 90
    before = sum(path.stat().st_size for path in segments_of(folder / "w"))
    spool.append(prediction(11))
    spool.append(prediction(12))
    spool.close()
    after = sum(path.stat().st_size for path in segments_of(folder / "w"))
    assert later(Shipper.SPOOL_BYTES, {"spool": "w"}) == after - before > 0


def test_a_shipper_answers_metrics_while_it_runs_and_counts_failed_passes(tmp_path, store):
    folder, progress = spooled(tmp_path / "spool", prediction(1)), Progress()
    (folder / "bad" / "000001.jsonl").mkdir(parents=True)
    with pytest.raises(Exception, match="cannot be read"):
        ship(folder, store, progress=progress)
    progress.passes_failed += 1
    with serving_metrics(progress, folder, host="127.0.0.1", port=0) as port:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode()
    assert 'gauntlet_shipper_rows_total{kind="prediction"} 1.0' in text
    assert "gauntlet_shipper_passes_failed_total 1.0" in text
    assert 'gauntlet_shipper_spool_bytes{spool="w"} 0.0' in text


def test_a_shipper_that_was_given_a_port_answers_there_until_it_stops(tmp_path, store):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder, asked = spooled(tmp_path / "spool", prediction(1)), []

    class AskOnce(threading.Event):
        def wait(self, seconds=None):
            asked.append(urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read().decode())
            return len(asked) > 1

    run_shipper(folder, store, stop=AskOnce(), metrics_port=port)
    assert 'rows_total{kind="prediction"} 0.0' in asked[0]
    assert 'rows_total{kind="prediction"} 1.0' in asked[1]
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path, store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InvalidSetting, match=f"port {port}"):
            run_shipper(tmp_path / "spool", store, stop=threading.Event(), metrics_port=port)


@pytest.mark.parametrize("way", ["option", "variable"])
def test_the_command_answers_metrics_where_it_is_told_to(tmp_path, monkeypatch, way):
    """By the variable too, which `gauntlet serve` hands on to the shipper that it starts."""
    given = {}
    monkeypatch.setattr("service.prediction_log.shipper.run_shipper", lambda *_, **options: given.update(options))
    arguments = ["--metrics-port", "9100", "--metrics-host", "0.0.0.0"] if way == "option" else []
    variables = {"GAUNTLET_SHIPPER_METRICS_PORT": "9100", "GAUNTLET_SHIPPER_METRICS_HOST": "0.0.0.0"}
    found = CliRunner(env=variables if way == "variable" else {}).invoke(
        gauntlet.cli, ["ship", "--folder", str(tmp_path), *arguments]
    )
    assert found.exit_code == 0
    assert given == {"once": False, "metrics_port": 9100, "metrics_host": "0.0.0.0"}
