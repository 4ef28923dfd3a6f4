"""The page Gate in a real Chromium with a real demo's reports: what failed, the pictures, and the whole report."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Installation, Visit, free_port, start, stop, visit, wait_for

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
_FAILED = "#gate-reports .ag-row:has-text('FAIL') >> nth=0"


def shown(made: Visit, path: str = "/gate") -> Any:
    """The page with a report and its first pictures."""
    page = made.open(path)
    page.wait_for_selector("#gate-of")
    page.wait_for_selector("#gate-all-checks .ag-row", state="attached")
    page.wait_for_selector("#gate-pictures .picture .scatterlayer .point")
    made.settle()
    return page


def at_the_failure(made: Visit) -> Any:
    """The page with the demo's candidate that failed."""
    page = shown(made)
    page.click(f"{_FAILED} >> a")
    page.wait_for_selector("#gate-chosen .verdict.fail")
    page.wait_for_selector("#gate-all-checks .ag-row:has-text('FAIL')", state="attached")
    made.settle()
    return page


def test_a_candidate_that_failed_says_first_what_and_why(at_console: Visit) -> None:
    page = at_the_failure(at_console)
    first = page.inner_text(".whys li >> nth=0")
    assert first.startswith("FAIL")
    assert "must" in first
    assert "FAIL" in at_console.grid("gate-all-checks").locator(".ag-row[row-index='0']").inner_text()
    topics = page.locator("#gate-pictures .topic").all_inner_texts()
    assert topics == ["Fairness", "Robustness"]
    at_console.assert_clean()


def test_every_topic_of_the_report_can_be_drawn(at_console: Visit) -> None:
    page = at_the_failure(at_console)
    page.click("#gate-topics")
    page.click(".dash-dropdown-option >> text=Probabilities and answers")
    page.keyboard.press("Escape")
    page.wait_for_selector("#gate-pictures .topic >> text=Probabilities and answers")
    page.wait_for_selector("[id*='gate-roc'].picture .scatterlayer .js-line")
    at_console.settle()
    at_console.assert_clean()


def test_the_whole_report_opens_as_a_page_that_reaches_nothing_of_the_console(at_console: Visit) -> None:
    page = at_the_failure(at_console)
    with page.context.expect_page() as opened:
        page.click("text=The whole report")
    report, wrong = opened.value, []
    report.on("pageerror", lambda error: wrong.append(str(error)))
    report.wait_for_selector("#fairness, .picture.js-plotly-plot")
    assert "Not passed, and why" in report.inner_text("main")
    assert report.evaluate("window.origin") == "null"
    assert wrong == []
    at_console.assert_clean()


def test_the_report_is_saved_as_json(at_console: Visit, tmp_path: Path) -> None:
    page = at_the_failure(at_console)
    with page.expect_download() as saved:
        page.click("text=as JSON")
    saved.value.save_as(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "FAIL"
    assert page.inner_text("#gate-of").endswith(f"version {report['candidate']['version']}")


def test_another_report_is_chosen_by_keyboard(at_console: Visit) -> None:
    page = shown(at_console)
    before = page.inner_text("#gate-of")
    cell = page.locator("#gate-reports .ag-row[row-index='1'] .ag-cell").first
    cell.focus()
    cell.press("Enter")
    page.wait_for_function("before => document.querySelector('#gate-of')?.innerText !== before", arg=before)
    assert "report=gate-" in page.url
    at_console.assert_clean()


def test_an_address_names_a_version(at_console: Visit) -> None:
    page = shown(at_console, "/gate?version=1")
    assert page.inner_text("#gate-of").endswith("version 1")
    at_console.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out(chromium: Any, installation: Installation, theme: str) -> None:
    made = visit(chromium, installation.console, color_scheme=theme)
    at_the_failure(made)
    assert made.serious_findings() == []
    made.assert_clean()
    made.page.context.close()


def test_a_phone_shows_it_without_scrolling_sideways(chromium: Any, installation: Installation) -> None:
    made = visit(chromium, installation.console, viewport=PHONE)
    at_the_failure(made)
    assert made.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    made.page.context.close()


def test_it_prints(at_console: Visit) -> None:
    printed = at_the_failure(at_console).pdf()
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 15


@pytest.mark.parametrize("path", ["/gate", "/models"])
def test_an_empty_installation_is_told_what_to_do(chromium: Any, tmp_path: Path, path: str) -> None:
    port, log = free_port(), tmp_path / "console.log"
    url = f"http://127.0.0.1:{port}"
    looking = start("console", "--folder", tmp_path / "empty", "--port", port, log=log)
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        made.open(path)
        assert made.page.inner_text(".first .command").startswith("gauntlet train --folder")
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)
