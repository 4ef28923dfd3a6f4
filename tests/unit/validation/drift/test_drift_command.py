"""`gauntlet drift`: what a person types, sees and gets as exit code."""

from __future__ import annotations

import json
import os
import sys

import msgspec
import pytest
from click.testing import CliRunner
from drift_toys import END, log
from log_toys import land
from serving_toys import make_bento

from bentos.errors import InvalidSetting, NotFound
from service.store import open_store
from validation.drift.commands import drift, seconds_of

AT = ["--to", END.isoformat()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An installation with two models."""
    folder = tmp_path_factory.mktemp("home")
    digests = make_bento(folder / "bento", [0.2, 0.7])
    store = open_store(f"sqlite:///{folder / 'store.db'}")
    land(store, folder, *log(600, champion=digests[0], challenger=digests[1]))
    store.close()
    return folder


def run(folder, *arguments):
    return CliRunner().invoke(drift, [*arguments, "--folder", str(folder)], catch_exceptions=False)


def test_a_quiet_day_exits_0_and_says_of_each_model_what_it_saw(folder):
    done = run(folder, *AT)
    assert done.exit_code == 0
    assert "toy:1  quiet  600 live rows" in done.output
    assert "toy:2" in done.output
    assert "tenure" in done.output


def test_a_drifted_day_exits_1_and_shows_the_bins_that_moved(folder, tmp_path):
    digests = make_bento(tmp_path / "bento", [0.2])
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    rows = [msgspec.structs.replace(row, features={**row.features, "contract": "Two year"}) for row in log(5000)]
    land(store, tmp_path, *(msgspec.structs.replace(row, champion=digests[0]) for row in rows))
    store.close()
    done = run(tmp_path, *AT, "--feature", "contract")
    assert done.exit_code == 1
    assert "toy:1  DRIFTED" in done.output
    assert "Month-to-month" in done.output


def test_too_few_rows_exit_3_and_are_not_called_quiet(folder):
    done = run(folder, *AT, "--window", "1m")
    assert done.exit_code == 3
    assert "UNKNOWN" in done.output
    assert "no sign that nothing drifted" in done.output


def test_json_holds_every_number(folder):
    done = run(folder, *AT, "--window", "1d", "--model", "toy:1", "--json")
    (found,) = json.loads(done.output)
    assert found["model"] == "toy:1"
    assert found["rows"] == 600
    assert {one["name"] for one in found["features"]} == {"tenure", "charges", "contract", "senior"}
    assert found["score"]["psi"] >= 0


def test_a_window_may_be_named_by_its_ends(folder):
    done = run(folder, "--from", "2026-06-19T12:00:00Z", "--to", "2026-06-19T12:05:00Z", "--json")
    assert json.loads(done.output)[0]["rows"] == 300


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["--window", "yesterday"], InvalidSetting, "--window is 'yesterday'; it must be 1 to 999999 of m, h, d or w"),
        (["--window", "999999w"], InvalidSetting, "--window must begin in 1970 or later, and not 999999w before"),
        (["--to", "1969-01-01T00:00:00Z"], InvalidSetting, "--window must begin in 1970 or later"),
        (["--window", "0d"], InvalidSetting, "must be 1 to 999999"),
        (["--from", "2026-06-20"], InvalidSetting, "--from is '2026-06-20'; it must have a time zone"),
        (["--from", "2026-06-20T12:00:00Z", *AT], InvalidSetting, "--from .* must lie before"),
        (["--from", "2026-06-19T12:00:00Z", "--window", "1d"], InvalidSetting, "give one of them"),
        (["--feature", "age"], NotFound, "--feature is 'age'; it must be one of tenure, charges, contract, senior"),
        (["--model", "toy:9"], NotFound, "does not carry 'toy:9'; it carries toy:1, toy:2"),
    ],
)
def test_what_cannot_be_is_named_with_what_is_allowed(folder, arguments, error, says):
    with pytest.raises(error, match=says):
        run(folder, *arguments)


def test_lengths_are_read_in_minutes_hours_days_and_weeks():
    assert [seconds_of(text) for text in ("5m", "1h", "7d", "2w")] == [300, 3600, 604_800, 1_209_600]


def test_the_command_line_lists_it(folder):
    import subprocess

    done = subprocess.run(
        [sys.executable, "gauntlet.py", "drift", "--window", "1d", *AT, "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
