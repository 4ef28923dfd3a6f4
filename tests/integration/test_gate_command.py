"""`python -m validation` as a person or a Job runs it: a process of its own, its exit code, what it prints."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from gate_toys import BAD, GOOD, register

from bentos.folder import Folder
from bentos.registry import open_registry
from validation.__main__ import main
from validation.gate.report import parse_report

ROOT = Path(__file__).parents[2]
ALONE = ("-m", "validation")
GAUNTLET = ("gauntlet.py", "gate")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("gate-command") / "home"
    registry = open_registry(Folder(home))
    register(registry, GOOD, name="good", n=300)
    register(registry, BAD, name="bad", n=300)
    return home


def gate(
    *arguments: str, home: Path, command: Sequence[str] = ALONE, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "GAUNTLET_"))}
    return subprocess.run(
        [sys.executable, *command, *arguments],
        env={**clean, "GAUNTLET_FOLDER": str(home), **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_pass_exits_with_0_and_a_table(home):
    done = gate("models:/good/latest", home=home)
    assert done.returncode == 0, done.stderr
    assert "PASS  blessed until" in done.stdout
    assert "accuracy_gap[SeniorCitizen]" in done.stdout
    assert "judging good version 1 on 300 rows" in done.stderr
    assert "next: gauntlet promote --bootstrap models:/good/1 --folder" in done.stderr


def test_a_fail_exits_with_1_and_json_alone_on_stdout(home):
    done = gate("models:/bad/1", "--json", home=home)
    assert done.returncode == 1, done.stderr
    report = parse_report(done.stdout.encode(), "stdout")
    assert report.verdict == "FAIL"
    assert json.loads(done.stdout)["exit_code"] == 1
    (kept,) = (home / "reports").glob("gate-bad-1-*.json")
    assert done.stdout.encode() == kept.read_bytes()
    assert "next:" not in done.stderr


def test_both_command_lines_print_the_same(home, tmp_path):
    """A Job's log too: rich would break the table at 80 columns, where `gauntlet gate` is not at a terminal."""
    homes = [shutil.copytree(home, tmp_path / name) for name in ("alone", "whole")]  # each counts its own attempts
    alone, whole = (
        gate("models:/bad/1", home=home, command=command)
        for home, command in zip(homes, (ALONE, GAUNTLET), strict=True)
    )
    assert (alone.returncode, whole.returncode) == (1, 1), whole.stderr
    # The last line has the seconds that it took, and the path of a home.
    tables = ["\n".join(done.stdout.partition(", exit code")[0].splitlines()[:-1]) for done in (alone, whole)]
    assert tables[0] == tables[1]
    assert max(map(len, tables[0].splitlines())) > 80


@pytest.mark.parametrize(
    ("arguments", "message"), [(["models:/good/1", "--no-such-flag"], "no-such-flag"), ([], "CANDIDATE")]
)
def test_a_wrong_command_line_exits_with_3_as_2_would_read_as_inconclusive(home, arguments, message):
    done = gate(*arguments, home=home)
    assert done.returncode == 3
    assert message in done.stderr
    assert done.stdout == ""


@pytest.fixture
def gate_here(home, monkeypatch, capsys):
    """The same command line in this process: a new one takes seconds to import MLflow."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["validation", *arguments, "--folder", str(home)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code), printed.out, printed.err

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return run


def test_the_page_and_junit_are_written_where_one_wants_them(gate_here, tmp_path):
    page, junit = tmp_path / "ci" / "gate.html", tmp_path / "gate.xml"
    code, out, _ = gate_here("models:/bad/1", "--html", str(page), "--junit", str(junit))
    assert code == 1
    assert page.read_bytes().startswith(b"<!doctype html>")
    (suite,) = Xml.fromstring(junit.read_bytes())
    assert int(suite.get("failures", "0")) > 0
    assert out.rstrip().endswith(".html")


def test_what_could_not_be_drawn_is_told_beside_json_too(gate_here, monkeypatch):
    def broken(_: object) -> bytes:
        raise KeyError("colour")

    monkeypatch.setattr("validation.gate.run.to_junit", broken)
    code, out, err = gate_here("models:/bad/1", "--json")
    assert (code, json.loads(out)["verdict"]) == (1, "FAIL")
    assert "could not be drawn or kept: gate-bad-1-" in err
    assert "KeyError: 'colour'; the verdict stands" in err


def test_a_page_that_cannot_be_written_keeps_the_gate_from_judging(gate_here, home, tmp_path):
    (tmp_path / "file").write_text("")
    before = set(home.glob("reports/*"))
    code, out, err = gate_here("models:/bad/1", "--html", str(tmp_path / "file" / "gate.html"))
    assert (code, out) == (3, "")
    assert err == f"gate: --html: {tmp_path / 'file'} cannot be made: {tmp_path / 'file'} is a file\n"
    assert set(home.glob("reports/*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["models:/nobody/latest"], "models:/nobody/latest is not in the registry; it holds bad, good"),
        (["good"], "'good' names no model; write models:/NAME@ALIAS"),
        (["models:/good/1", "--policy", "nowhere.yaml"], "the policy nowhere.yaml cannot be read"),
        (["models:/good/1", "--against", "models:/bad/9"], "models:/bad/9 is not in the registry"),
    ],
)
def test_what_keeps_the_gate_from_judging_exits_with_3_and_one_sentence(gate_here, arguments, message):
    code, out, err = gate_here(*arguments)
    assert (code, out) == (3, "")
    assert err.startswith("gate: ")
    assert message in err
    assert err.count("\n") == 1


def test_an_unreachable_tracking_server_exits_with_3(gate_here, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    code, out, err = gate_here("models:/good/1")
    assert (code, out) == (3, "")
    assert err.startswith("gate: the tracking server http://127.0.0.1:9 does not answer")


def test_a_programming_error_exits_with_3_and_is_no_verdict(gate_here, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.delenv("GAUNTLET_DEBUG", raising=False)
    monkeypatch.setattr("validation.gate.run.run_gate", broken)
    code, _, err = gate_here("models:/good/1")
    assert code == 3
    assert err == "gate: internal error: ZeroDivisionError: division by zero (GAUNTLET_DEBUG=1 shows where)\n"


def test_help_names_the_exit_codes(home):
    done = gate("--help", home=home)
    assert done.returncode == 0
    for word in (
        "0 PASS, 1 FAIL, 2 INCONCLUSIVE, 3 ERROR",
        "--against",
        "--policy",
        "GAUNTLET_FOLDER",
        "models:/churn/latest",
    ):
        assert word in done.stdout
