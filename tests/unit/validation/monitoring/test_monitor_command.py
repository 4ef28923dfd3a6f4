"""`gauntlet monitor` as it is typed: a small installation looked at, with a registry in memory."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta

import log_toys
import msgspec
import pytest
from click.testing import CliRunner
from drift_toys import END, log, prediction
from log_toys import land
from serving_toys import FEATURES, artifact_of, bless, make_bento

from bentos.artifact import BlessedCheck, load_artifact
from bentos.errors import InvalidSetting, NotFound
from bentos.folder import Folder
from bentos.registry import Version
from gauntlet import cli
from service.prediction_log.spool import Spool
from service.scoring.experiment import dump_experiment, first_experiment, write_experiment
from service.store import open_store

PROMISED = [BlessedCheck(name="accuracy", value=0.8, low=0.78, high=0.82, bound=0.75)]


class Home:
    """An installation whose champion is blessed, with a store that predictions and truths land in."""

    def __init__(self, path):
        self.folder, self.path = Folder(path), path
        (self.champion,) = make_bento(self.folder.bento, [0.2])
        self.artifact = artifact_of(self.folder.bento, self.champion)
        self.registered = [self.champion]
        self.experiment = first_experiment(self.champion, now=END - timedelta(days=100))
        write_experiment(self.folder.experiment, self.experiment)

    def land(self, *records):
        store = open_store(self.folder.store_url)
        land(store, self.path, *records)
        store.close()

    def find_by_digest(self, name, digest):
        assert name == "toy"
        return Version(name=name, number="1", digest=digest, run="r") if digest in self.registered else None

    def fetch(self, version, folder):
        shutil.copytree(self.artifact, folder)
        return load_artifact(folder)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The installation; without a past, and without a blessing."""
    for name in ("GAUNTLET_STORE_URL", "GAUNTLET_FOLDER", "GAUNTLET_EXPERIMENT_FILE", "GAUNTLET_POLICY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GAUNTLET_EXPERIMENT_NAMESPACE", raising=False)
    found = Home(tmp_path / "home")
    monkeypatch.setattr("bentos.registry.registry_of", lambda folder: found)
    return found


@pytest.fixture
def blessed(home):
    """The same with a blessing, and a day's customers who are as training's were."""
    bless(home.artifact, now=END, days=90, checks=PROMISED)
    home.land(*log(600, champion=home.champion))
    return home


def monitor(home, *words, **variables):
    typed = ["monitor", "--as-of", END.isoformat(), "--folder", str(home.path), *words]
    return CliRunner().invoke(cli, typed, env=variables)


def rows_of(done):
    """The table of findings: level and sentence by name."""
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in done.stdout.splitlines()]
    return {row[0]: (row[1], row[2]) for row in cells if len(row) == 4}


def test_a_champion_that_does_well_exits_0(blessed):
    done = monitor(blessed)
    assert done.exit_code == 0
    found = rows_of(done)
    assert {name: found[name][0] for name in ("traffic", "drift", "blessing")} == {
        "traffic": "good", "drift": "good", "blessing": "good",
    }  # fmt: skip
    assert found["outcomes"] == ("not known", "nobody's outcome is due yet")
    assert found["drift"][1] == "600 live customers in a week are as training's were"


def test_a_blessed_champion_of_whom_nobody_asked_anything_yet_exits_3(home):
    bless(home.artifact, now=END, days=90, checks=PROMISED)
    done = monitor(home)
    assert done.exit_code == 3
    assert done.stdout.startswith("## toy version 1 cannot be told yet\n")
    assert rows_of(done)["traffic"] == ("not known", "no live customer was ever scored")


def test_one_without_a_blessing_exits_1_and_says_so_on_the_jobs_page_and_as_its_last_word(home, tmp_path):
    home.land(*log(600, champion=home.champion))
    kept = {"GITHUB_STEP_SUMMARY": str(tmp_path / "page.md"), "GAUNTLET_TERMINATION_FILE": str(tmp_path / "last")}
    done = monitor(home, **kept)
    assert done.exit_code == 1
    assert done.stdout.startswith("## toy version 1 needs somebody\n")
    assert (tmp_path / "page.md").read_text().strip() == done.stdout.strip()
    assert (tmp_path / "last").read_text() == "blessing: it has none"


def test_customers_who_are_others_than_trainings_are_bad(home):
    bless(home.artifact, now=END, days=90)
    rows = [msgspec.structs.replace(row, features={**row.features, "contract": "Two year"}) for row in log(5000)]
    home.land(*(msgspec.structs.replace(row, champion=home.champion) for row in rows))
    done = monitor(home)
    assert done.exit_code == 1
    level, said = rows_of(done)["drift"]
    assert level == "**look at it**"
    assert "contract" in said


def test_a_champion_that_is_wrong_more_often_than_its_blessing_promised_is_bad(blessed):
    long_ago = END - timedelta(days=80)
    said_no = [log_toys.prediction(number, long_ago, champion=blessed.champion) for number in range(700, 1200)]
    left = [log_toys.outcome(number, long_ago) for number in range(700, 1200)]
    blessed.land(*said_no, *left)
    done = monitor(blessed)
    assert done.exit_code == 1
    level, said = rows_of(done)["risk"]
    assert level == "**look at it**"
    assert "its blessing found 80.0%" in said


def test_json_holds_every_finding_and_the_numbers_behind_them(blessed):
    found = json.loads(monitor(blessed, "--json").stdout)
    assert (found["model"], found["digest"]) == ("toy version 1", blessed.champion)
    assert [one["name"] for one in found["findings"]] == ["traffic", "drift", "outcomes", "risk", "blessing"]
    assert (found["drift"]["rows"], found["promised"]) == (600, [0.78, 0.8, 0.82])


def test_what_lies_in_the_spool_is_looked_at_too(blessed):
    """On one machine the shipper may not have come by."""
    spool = Spool(blessed.folder.spool, "another")
    spool.append_all([prediction(7000, FEATURES, champion=blessed.champion)])
    spool.close()
    assert rows_of(monitor(blessed))["traffic"][1].startswith("601 live customers in 24 hours")


def test_a_champion_that_the_registry_does_not_have_is_told(blessed):
    blessed.registered = []
    done = monitor(blessed)
    assert isinstance(done.exception, NotFound)
    assert f"the registry has no toy with the digest {blessed.champion}, which is champion" in str(done.exception)


def test_a_moment_without_a_time_zone_is_refused(blessed):
    done = monitor(blessed, "--as-of", "2026-06-20T12:00:00")
    assert isinstance(done.exception, InvalidSetting)
    assert "--as-of is '2026-06-20T12:00:00'; it must have a time zone" in str(done.exception)


def test_a_job_looks_at_the_champion_of_its_namespaces_experiment(blessed, monkeypatch):
    class Cluster:
        namespace = "shop"

        def read_map(self):
            return dump_experiment(blessed.experiment).decode(), "1"

        def pods(self):
            return []

    asked = []
    monkeypatch.setattr("k8s.live.current_cluster", lambda namespace: asked.append(namespace) or Cluster())
    blessed.folder.experiment.unlink()
    assert monitor(blessed, GAUNTLET_EXPERIMENT_NAMESPACE="shop").exit_code == 0
    assert asked == ["shop"]
