"""The summary of tiers of tests: what pytest and coverage wrote, as Markdown, and an exit code where it lacks any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]["run"]["source_pkgs"]
TOYS = """
import time
import pytest

def test_that_passes():
    time.sleep(0.2)

def test_that_fails():
    assert [1] == [2], "one | is\\n`two`"

@pytest.fixture
def broken():
    raise OSError("no server")

def test_whose_fixture_fails(broken):
    pass

@pytest.mark.skip(reason="no PostgreSQL")
def test_that_is_skipped():
    pass
"""


@pytest.fixture(scope="module")
def junit(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest writes of a test of every kind."""
    place = tmp_path_factory.mktemp("toys")
    (place / "test_toys.py").write_text(TOYS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=toys.xml", "test_toys.py"]
    assert subprocess.run(command, cwd=place, capture_output=True).returncode == 1
    return (place / "toys.xml").read_text()


PASSED = '<testsuites><testsuite><testcase classname="t" name="test_a" time="0.1" /></testsuite></testsuites>'


def covered(ratios: dict[str, int]) -> str:
    """coverage.json of planes with 100 lines and 100 branches each, of which so many of both are run."""
    files = {}
    for plane, run in ratios.items():
        summary = {"num_statements": 100, "covered_lines": run, "num_branches": 100, "covered_branches": run}
        files[f"{plane}.py" if plane == "gauntlet" else f"{plane}/some/file.py"] = {"summary": summary}
    return json.dumps({"files": files})


TIERS = ("fast", "servers", "browser")
OF_STAGE_2 = (*TIERS, "--least", "90")


def summed(reports: Path, given: Sequence[str] = OF_STAGE_2, **variables: str) -> tuple[int, str]:
    """The program's exit code, and what it prints."""
    command = [sys.executable, str(ROOT / ".ci" / "summary.py"), str(reports), *given]
    environment = {name: value for name, value in os.environ.items() if name != "GITHUB_STEP_SUMMARY"} | variables
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """A folder of reports in which all is well."""
    for tier in TIERS:
        (tmp_path / f"{tier}.xml").write_text(PASSED)
    (tmp_path / "coverage.json").write_text(covered(dict.fromkeys(PLANES, 90)))
    return tmp_path


def test_where_all_is_well_it_says_so(reports: Path) -> None:
    code, page = summed(reports)
    assert code == 0
    assert page.startswith("## Tests on Python ")
    assert page.splitlines()[0].endswith(": passed")
    assert "| servers | 1 | 0 | 0 | 0.0 |" in page
    assert "| bentos | 90.0 % | 90 of 100 | 90 of 100 (90.0 %) |" in page


def test_tests_are_counted_by_tier_and_failures_say_why(reports: Path, junit: str) -> None:
    (reports / "servers.xml").write_text(junit)
    _, page = summed(reports)
    assert page.splitlines()[0].endswith(": failed")
    assert "| servers | 1 | 2 | 1 |" in page
    assert "- `test_toys::test_that_fails` (servers): `AssertionError: one ¦ is`" in page
    assert '- `test_toys::test_whose_fixture_fails` (servers): `failed on setup with "OSError: no server"`' in page
    assert "- 1 (servers): `no PostgreSQL`" in page
    slowest = page.split("### Slowest")[1].split("###")[0]
    assert slowest.splitlines()[4].endswith("`test_toys::test_that_passes` |")


@pytest.mark.parametrize("plane", PLANES)
def test_a_plane_that_is_reached_too_little_is_an_error(reports: Path, plane: str) -> None:
    (reports / "coverage.json").write_text(covered({**dict.fromkeys(PLANES, 90), plane: 89}))
    code, page = summed(reports)
    assert code == 1
    assert f"**89.0 % of {plane} is reached, less than 90%.**" in page


def test_a_plane_that_nobody_imported_is_an_error_and_not_complete(reports: Path) -> None:
    (reports / "coverage.json").write_text(covered(dict.fromkeys(PLANES[1:], 95)))
    code, page = summed(reports)
    assert code == 1
    assert f"**0.0 % of {PLANES[0]} is reached, less than 90%.**" in page


def test_without_coverages_report_nothing_is_reached(reports: Path) -> None:
    (reports / "coverage.json").unlink()
    assert summed(reports)[0] == 1


@pytest.mark.parametrize("left", [None, "<testsuites/>"])
def test_a_tier_that_ran_nothing_is_an_error(reports: Path, left: str | None) -> None:
    (reports / "browser.xml").unlink()
    if left is not None:
        (reports / "browser.xml").write_text(left)
    code, page = summed(reports)
    assert code == 1
    assert "**The browser tier ran no test.**" in page


def test_a_tier_whose_tests_were_all_skipped_ran_nothing(reports: Path) -> None:
    skipped = PASSED.replace(" />", '><skipped message="no Chromium" /></testcase>')
    (reports / "browser.xml").write_text(skipped)
    code, page = summed(reports)
    assert code == 1
    assert "**The browser tier ran no test.**" in page


def test_of_a_tier_whose_coverage_nobody_measured_nothing_is_said_of_planes(reports: Path) -> None:
    (reports / "cluster.xml").write_text(PASSED)
    (reports / "coverage.json").unlink()
    code, page = summed(reports, ["cluster"])
    assert code == 0
    assert "| cluster | 1 | 0 | 0 | 0.0 |" in page
    assert "Reached" not in page
    assert "browser" not in page


def test_it_is_added_to_the_jobs_summary_and_kept_beside_the_reports(reports: Path) -> None:
    told = reports / "step"
    told.write_text("before\n")
    code, page = summed(reports, GITHUB_STEP_SUMMARY=str(told))
    assert (code, page) == (0, "")
    kept = (reports / "summary.md").read_text()
    assert told.read_text() == "before\n" + kept
    assert "### Slowest" in kept
