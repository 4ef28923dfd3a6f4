"""The page Experiment in a real Chromium, with the trials of a real demo: one was promoted, one rolled back."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from conftest import Installation, Visit, visit

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
PAPER = {"width": 688, "height": 1016}
"""A4 between margins of 14 mm, at 96 dots an inch."""


def trial_is_shown(page: Any, says: str) -> None:
    page.wait_for_selector(f"#experiment-trial h2 >> text={says}")
    page.wait_for_selector('#experiment-trial [id*="experiment-evidence"] .scatterlayer .trace')


def compared(page: Any) -> None:
    page.click("#experiment-compare")
    page.wait_for_selector("#experiment-compared h2 >> text=Recommendation")
    page.wait_for_selector('#experiment-compared [id*="experiment-radar"] .polarlayer .scatterlayer .trace')


def choose(page: Any, dropdown: str, text: str) -> None:
    """Once the page is drawn: what arrives above moves the list away from under the pointer."""
    page.wait_for_load_state("networkidle")
    page.wait_for_function(
        "() => ![...document.querySelectorAll('.picture:not([hidden])')].some(p => !p.firstElementChild)"
    )
    page.click(f"#{dropdown}")
    page.click(f"[role=option]:has-text('{text}')")


def test_the_last_trial_is_told_with_its_verdict_and_that_it_was_provisional(at_console: Visit) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    said = page.inner_text("#experiment-trial")
    assert "ROLLBACK" in said
    assert "worse than the champion by more than 0.02" in said
    assert "Provisional, as of" in said
    assert "Nobody is on trial" in page.inner_text("#experiment-now")
    assert "The judge looked at" in page.inner_text("#experiment-now")
    at_console.assert_clean()


def test_an_earlier_trial_can_be_chosen_and_its_cohorts_taken_away(at_console: Visit, tmp_path: Path) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    choose(page, "experiment-chosen", "Trial 1")
    trial_is_shown(page, "Trial 1")
    assert "PROMOTE" in page.inner_text("#experiment-trial")
    page.wait_for_selector("#experiment-cohorts .ag-row")
    with page.expect_download() as saved:
        page.click("section[aria-labelledby=experiment-cohorts-title] button")
    saved.value.save_as(tmp_path / "cohorts.csv")
    rows = list(csv.DictReader((tmp_path / "cohorts.csv").read_text(encoding="utf-8-sig").splitlines()))
    assert int(rows[0]["Matured"]) == 1000
    assert float(rows[0]["Log e, promotion"]) > 3.49
    at_console.assert_clean()


def test_any_two_versions_are_compared_and_the_better_one_is_named(at_console: Visit) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    choose(page, "experiment-first", "churn v1")
    choose(page, "experiment-second", "churn v2")
    compared(page)
    said = page.inner_text("#experiment-compared")
    assert "churn v2 is better on these 1,958 rows, by its labels and its ranks." in said
    assert "39 rows against 144" in said
    assert "SYNTHETIC" in said
    for name in ("bars", "radar", "contingency", "roc", "confusion-1", "confusion-2"):
        page.wait_for_selector(f'[id*="experiment-{name}"] .main-svg', state="attached")
    at_console.assert_clean()


def test_a_model_is_not_compared_with_itself(at_console: Visit) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    choose(page, "experiment-first", "churn v2")
    choose(page, "experiment-second", "churn v2")
    page.click("#experiment-compare")
    page.wait_for_selector("#experiment-compared [role=alert] >> text=same artifact")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [{"width": 1280, "height": 900}, PHONE], ids=["desk", "phone"])
def test_everybody_can_use_it(chromium: Any, installation: Installation, theme: str, size: dict[str, int]) -> None:
    made = visit(chromium, installation.console, viewport=size, color_scheme=theme)
    page = made.open("/experiment")
    trial_is_shown(page, "Trial 2")
    compared(page)
    assert made.serious_findings() == []
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    made.assert_clean()
    made.page.context.close()


def test_a_comparison_is_reached_by_keyboard(at_console: Visit) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    page.focus("#experiment-second")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "experiment-compare"
    page.keyboard.press("Enter")
    page.wait_for_selector("#experiment-compared h2 >> text=Recommendation")


def test_on_paper_tables_are_whole_and_nothing_is_cut_off(at_console: Visit) -> None:
    page = at_console.open("/experiment")
    trial_is_shown(page, "Trial 2")
    compared(page)
    at_console.settle()
    columns = page.evaluate("window.dash_ag_grid.getApi('experiment-cohorts').getAllDisplayedColumns().length")
    page.set_viewport_size(PAPER)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    said = page.inner_text("section[aria-labelledby=experiment-cohorts-title] .paper thead")
    assert len(said.split("\t")) == columns
    assert page.locator(".grid >> visible=true").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PAPER["width"]
    page.evaluate("window.dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    assert page.locator(".paper").count() == 0
    assert page.locator(".grid >> visible=true").count() > 0
    at_console.assert_clean()
