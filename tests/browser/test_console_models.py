"""The page Models in a real Chromium with a real demo's runs, as a data scientist walks it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from conftest import Installation, Visit, free_port, start, stop, visit, wait_for

pytestmark = pytest.mark.browser

PATH = "/models"
PHONE = {"width": 390, "height": 844}
_JUDGED = """() => {
  const found = [];
  window.dash_ag_grid.getApi("models-runs").forEachNodeAfterFilterAndSort(row => {
    if (row.data.verdict !== "not judged") found.push(row.rowIndex);
  });
  return found;
}"""
"""The rows with a gate's report, whose column is not drawn as long as it is out of sight."""
_COMPARED = "[id*='compare-f1_positive'].picture .scatterlayer .point"


def drawn(made: Visit) -> Any:
    """The page with every picture and the comparison in it."""
    page = made.open(PATH)
    for grid in ("models-runs", "models-side-by-side"):
        page.wait_for_selector(f"#{grid} .ag-row", state="attached")
    for name in ("models-time", "models-impact", "models-parallel"):
        page.wait_for_selector(f"[id*='{name}'].picture .scatterlayer .point")
    made.settle()
    return page


def says(page: Any, name: str) -> str:
    """The sentence under a picture's title."""
    return str(page.inner_text(f"p[id*='\"{name}\"']"))


def test_champion_challenger_and_archived_stand_with_who_and_when(at_console: Visit) -> None:
    drawn(at_console)
    versions = at_console.grid("models-versions")
    champion = versions.locator(".ag-row:has(.status.champion)").inner_text()
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d", champion)
    assert "gauntlet demo" in champion
    versions.locator(".ag-row:has-text('archived') >> nth=0").wait_for()
    assert "became champion" in at_console.grid("models-changes").inner_text()
    at_console.assert_clean()


def test_two_models_are_compared_over_folds_and_on_the_gates_holdout(at_console: Visit) -> None:
    page = drawn(at_console)
    runs = at_console.grid("models-runs")
    for row in page.evaluate(_JUDGED)[:2]:
        runs.locator(f".ag-row[row-index='{row}'] .ag-checkbox-input").click()
    page.wait_for_selector("text=Side by side: 2 runs")
    page.wait_for_function("wanted => document.querySelectorAll(wanted).length === 2", arg=_COMPARED)
    assert "2 of 2 chosen runs, mean over the folds" in says(page, "compare-f1_positive")
    assert "±" in at_console.grid("models-side-by-side").inner_text()

    page.click("#models-basis")
    page.click("text=the gate's holdout, with 95 % intervals")
    page.wait_for_selector("p[id*='compare-f1_positive'] >> text=95 % intervals")
    page.wait_for_selector("p[id*='models-time'] >> text=on the gate's holdout")
    at_console.assert_clean()


def test_what_the_tables_filter_leaves_is_drawn_and_saved(at_console: Visit, tmp_path: Path) -> None:
    page = drawn(at_console)
    everything = says(page, "models-time")
    at_console.grid("models-runs")
    page.click("#models-runs .ag-header-cell[col-id=role] .ag-header-cell-filter-button")
    page.fill(".ag-filter input[type=text] >> nth=0", "champion")
    page.wait_for_function(
        "before => document.querySelector('p[id*=\"models-time\"]').innerText !== before", arg=everything
    )
    assert says(page, "models-time").startswith("n = 1 of 1 runs shown")
    page.keyboard.press("Escape")

    with page.expect_download() as saved:
        page.click("#models-save-parquet")
    saved.value.save_as(tmp_path / "runs.parquet")
    (row,) = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert row["role"] == "champion"
    assert 0 < row["metric.cv_f1_positive_mean"] < 1
    assert row["gate.accuracy_low"] < row["gate.accuracy"] < row["gate.accuracy_high"]

    with page.expect_download() as saved:
        page.click(".card:has(#models-runs) >> text=Save as CSV")
    saved.value.save_as(tmp_path / "runs.csv")
    heading, *rows = csv.reader((tmp_path / "runs.csv").read_text(encoding="utf-8-sig").splitlines())
    assert "f1_positive" in heading
    assert len(rows) == 1
    at_console.assert_clean()


def test_a_parameter_and_a_metric_of_choice_are_drawn(at_console: Visit) -> None:
    page = drawn(at_console)
    page.click("#models-metric")
    page.click(".dash-dropdown-option >> text=/^brier$/")
    page.wait_for_selector("h2 >> text=/^brier over time$/")
    assert "Less is better" in says(page, "models-time")
    page.click("#models-parameter")
    page.click(".dash-dropdown-option >> text=/^estimator$/")
    page.wait_for_selector("h2 >> text=/^brier by estimator$/")
    at_console.assert_clean()


def test_a_versions_gate_report_is_a_click_away_without_a_new_document(at_console: Visit) -> None:
    page = drawn(at_console)
    page.evaluate("window.isSame = true")
    at_console.grid("models-versions").locator(".ag-cell[col-id=verdict] a").first.click()
    page.wait_for_selector("h1 >> text=Gate")
    page.wait_for_selector("#gate-of")
    version = re.search(r"report=gate-[a-z]+-(\d+)-", page.url)
    assert version is not None
    assert page.inner_text("#gate-of").endswith(f"version {version[1]}")
    assert page.evaluate("window.isSame")
    at_console.assert_clean()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nobody_is_kept_out(chromium: Any, installation: Installation, theme: str) -> None:
    made = visit(chromium, installation.console, color_scheme=theme)
    drawn(made)
    assert made.serious_findings() == []
    made.assert_clean()
    made.page.context.close()


def test_a_phone_shows_it_without_scrolling_sideways(chromium: Any, installation: Installation) -> None:
    made = visit(chromium, installation.console, viewport=PHONE)
    drawn(made)
    assert made.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    made.page.context.close()


def test_it_prints(at_console: Visit) -> None:
    printed = drawn(at_console).pdf()
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 15


def test_a_tracking_server_that_is_away_is_told_with_its_reason(
    chromium: Any, installation: Installation, tmp_path: Path
) -> None:
    port, log, nobody = free_port(), tmp_path / "console.log", f"http://127.0.0.1:{free_port()}"
    url = f"http://127.0.0.1:{port}"
    looking = start(
        "console", "--folder", installation.folder, "--port", port, log=log, MLFLOW_TRACKING_URI=nobody,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES=0,
    )  # fmt: skip
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        for path in (PATH, "/gate"):
            made.open(path)
            made.page.wait_for_selector(f".page [role=alert] >> text=The tracking server {nobody} does not answer")
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)
