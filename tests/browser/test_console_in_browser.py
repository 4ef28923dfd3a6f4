"""The console in a real Chromium, with what a real demo left: as those walk through it who have to work with it."""

from __future__ import annotations

import csv
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Installation, Visit, free_port, start, stop, visit, wait_for

from service.http.keys import add_key

pytestmark = pytest.mark.browser

PAGES = ("/customer", "/production")
PHONE = {"width": 390, "height": 844}


_CUT_OFF = """() => [...document.querySelectorAll(".plot")].flatMap(plot => {
    const edge = plot.querySelector(".main-svg").getBoundingClientRect();
    return [...plot.querySelectorAll("text")].filter(text => {
        const it = text.getBoundingClientRect();
        const isWithin = it.left >= edge.left - 1 && it.right <= edge.right + 1;
        return it.width && !(isWithin && it.top >= edge.top - 1 && it.bottom <= edge.bottom + 1);
    }).map(text => `${plot.parentElement.id}: ${text.textContent}`);
})"""
"""Words of pictures that reach over the edge."""


_DROPDOWNS = (
    """() => [...document.querySelectorAll("button.dash-dropdown")].filter(b => b.checkVisibility()).map(b => b.id)"""
)


def a_customer(installation: Installation) -> str:
    return str(json.loads((installation.folder / "data" / "customer.json").read_text())["customer_id"])


def probability(page: Any) -> float:
    return float(re.search(r"([\d.]+)%", page.inner_text("#customer-answer"))[1])  # type: ignore[index]


def explained(page: Any) -> None:
    page.wait_for_selector(".reasons li")
    page.wait_for_selector('[id*="customer_waterfall"] .waterfalllayer .point')


def test_a_manager_looks_a_customer_up_tries_what_helps_and_drafts_a_letter(
    at_console: Visit, installation: Installation
) -> None:
    page = at_console.open("/customer")
    page.fill("#customer-id", a_customer(installation))
    page.click("#customer-fill")
    page.wait_for_selector("#customer-found .notice >> text=the champion answered")
    explained(page)
    assert "points" in page.inner_text(".reasons li >> nth=0")
    assert "In plain words" in page.inner_text("#customer-reasons")
    page.wait_for_selector("#customer-nearest >> text=/^From /")

    before = probability(page)
    slider = page.locator("[role=slider]").first
    slider.focus()
    for _ in range(20):
        slider.press("ArrowLeft")
    page.wait_for_selector("#customer-answer >> text=points after changing tenure")
    assert probability(page) != before
    page.wait_for_selector("#customer-stale >> text=of the customer before tenure changed")
    old = page.locator("section:has([id*=customer_waterfall]) h2")
    content = "heading => getComputedStyle(heading, '::after').content"
    assert old.evaluate(content) == '"before the change"'
    page.click("#customer-explain")
    page.wait_for_selector("#customer-stale:empty", state="attached")
    assert old.evaluate(content) == "none"

    page.click("#customer-draft")
    page.wait_for_selector("#customer-email-said >> text=From the template")
    assert page.input_value("#customer-subject")
    assert page.input_value("#customer-text")
    page.click("#customer-sent")
    page.wait_for_selector("#customer-sent-said >> text=Recorded")
    page.click("#customer-draft")  # another one, which nobody has sent
    page.wait_for_selector("#customer-sent-said:empty", state="attached")
    at_console.assert_clean()


def test_a_customer_whom_nobody_knows_is_said_to_be_unknown(at_console: Visit) -> None:
    page = at_console.open("/customer")
    page.fill("#customer-id", "nobody")
    page.press("#customer-id", "Enter")
    page.wait_for_selector("#customer-found [role=alert] >> text=knows no live prediction")
    assert "The form is left as it was." in page.inner_text("#customer-found")


def test_a_number_that_is_not_allowed_is_named_with_what_is(at_console: Visit) -> None:
    page = at_console.open("/customer")
    explained(page)
    field = page.locator("input[inputmode=decimal]").first
    for typed, said in (("-5", "TotalCharges: -5.0 is not allowed"), ("abc", "TotalCharges: 'abc' is not allowed")):
        field.fill(typed)
        page.wait_for_selector(f"#customer-answer [role=alert] >> text={said}")
    assert "must be a number from 0 to 30000 USD" in page.inner_text("#customer-answer")
    field.fill("100")
    page.wait_for_selector("#customer-answer >> text=after changing TotalCharges")


def test_what_a_page_asks_and_does_not_get_is_said_until_it_is_answered(at_console: Visit) -> None:
    page = at_console.open("/customer")
    explained(page)
    page.click("#customer-example")
    asked = "**/_dash-update-component*"
    for refuse, said in (
        (lambda route: route.fulfill(status=500), "its log says why"),
        (lambda route: route.abort(), "The console does not answer"),
        (lambda route: route.fulfill(status=401), "You are logged out"),
    ):
        page.route(asked, refuse)
        page.click("#customer-explain")
        page.wait_for_selector(f"#trouble:not([hidden]) >> text={said}")
        if "logged out" in said:
            assert page.get_attribute("#trouble a", "href") == "/login?next=%2Fcustomer"
            assert page.get_attribute("#trouble a", "target") == "_blank", "what was typed stays"
        page.unroute(asked)
        page.click("#customer-explain")
        page.wait_for_selector("#trouble", state="hidden")


def test_an_engineer_sees_what_broke_in_production_and_takes_the_list_away(at_console: Visit, tmp_path: Path) -> None:
    page = at_console.open("/production")
    at_console.settle()
    page.wait_for_selector("#production-alert-features >> text=ALERT")
    assert "TotalCharges" in page.inner_text("#production-alert-features")
    page.wait_for_selector("#production-alert-scoring >> text=/well.*it answers; mode/s")
    page.wait_for_selector(".cards >> text=No prediction has matured yet")
    page.wait_for_selector("#riskiest .ag-row")
    with page.expect_download() as saved:
        page.click("text=Save as CSV")
    assert saved.value.suggested_filename == "highest-risk.csv"
    saved.value.save_as(tmp_path / "saved.csv")
    heading, *rows = csv.reader((tmp_path / "saved.csv").read_text(encoding="utf-8-sig").splitlines())
    assert heading[0] == "Customer"
    assert len(rows) > 20
    at_console.assert_clean()


def test_what_begins_like_a_formula_is_saved_as_text(at_console: Visit, tmp_path: Path) -> None:
    page = at_console.open("/production")
    at_console.settle()
    page.wait_for_selector("#riskiest .ag-row")
    names = ["=1+1", "+1+cmd|' /C calc'!A0", "@SUM(1)", "-2+3", "\t=1", "plain", "-5.25"]
    rows = [{"customer": name, "probability": -0.5} for name in names]
    page.evaluate("rows => dash_ag_grid.getApi('riskiest').setGridOption('rowData', rows)", rows)
    with page.expect_download() as saved:
        page.click("text=Save as CSV")
    saved.value.save_as(tmp_path / "saved.csv")
    _, *told = csv.reader((tmp_path / "saved.csv").read_text(encoding="utf-8-sig").splitlines())
    assert [row[0] for row in told] == [*(f"'{name}" for name in names[:5]), "plain", "-5.25"]
    assert {row[2] for row in told} == {"-0.5"}


def test_truths_are_seen_from_the_moment_of_the_last_one(at_console: Visit) -> None:
    page = at_console.open("/production")
    at_console.settle()
    page.click("#production-moment")
    page.click("text=the last that was told")
    page.wait_for_selector("text=Brier score")
    at_console.assert_clean()


def test_pages_are_reached_by_keyboard_and_say_where_one_is(at_console: Visit) -> None:
    page = at_console.open("/customer")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    while page.evaluate("document.activeElement.textContent") != "Production":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1 >> text=Production")
    page.wait_for_function("() => document.title === 'Production · Gauntlet'")
    page.wait_for_selector("nav a[aria-current=page] >> text=Production")
    page.wait_for_function("() => document.activeElement.id === 'page-title'")


@pytest.mark.parametrize(
    ("path", "one"),
    [("/customer", "customer-tone"), ("/production", "production-feature"), ("/experiment", "experiment-second")],
)
def test_every_dropdown_is_one_stop_of_the_keyboard_and_opens_by_it(at_console: Visit, path: str, one: str) -> None:
    page = at_console.open(path)
    at_console.settle()
    stops = page.evaluate(_DROPDOWNS)
    assert one in stops
    page.focus("#page-title")
    reached: list[str] = []
    for key in ("Tab", "Shift+Tab"):
        at = page.evaluate("() => document.activeElement.id")
        for _ in range(200):
            page.keyboard.press(key)
            before, at = at, page.evaluate("() => document.activeElement.id")
            assert page.evaluate("() => document.activeElement.getAttribute('aria-hidden')") != "true"
            if at in stops:
                assert at != before, "two stops"
                reached.append(at)
            elif set(reached) == set(stops) and len(reached) == len(stops):
                break
        assert sorted(reached) == sorted(stops), key
        reached = []
    page.focus(f"[id='{stops[0]}']")
    page.keyboard.press("Enter")
    page.wait_for_selector(".dash-dropdown-option")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_nobody_is_kept_out(chromium: Any, installation: Installation, path: str, theme: str) -> None:
    made = visit(chromium, installation.console, color_scheme=theme)
    made.open(path)
    made.settle()
    assert made.page.evaluate("document.documentElement.dataset.theme") == theme
    assert made.serious_findings() == []
    assert made.page.evaluate(_CUT_OFF) == []
    made.assert_clean()
    made.page.context.close()


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_shows_a_page_without_scrolling_sideways(chromium: Any, installation: Installation, path: str) -> None:
    made = visit(chromium, installation.console, viewport=PHONE)
    made.open(path)
    made.settle()
    assert made.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    reached = made.page.eval_on_selector_all("nav a", "links => links.map(a => a.getBoundingClientRect().right)")
    assert max(reached) <= PHONE["width"], "every page is in the bar"
    assert made.page.evaluate(_CUT_OFF) == []
    made.page.context.close()


def test_an_engineer_looks_at_certain_days_and_then_at_everything_again(at_console: Visit) -> None:
    page = at_console.open("/production")
    at_console.settle()

    def shown(span: str, said: str) -> None:
        page.click("#production-span")
        page.click(f".dash-dropdown-option >> text={span}")
        page.wait_for_selector(f"section:has([id*='volume']) >> text={said}")

    today = datetime.now(UTC).date()
    shown("between two days", f"live predictions, {today - timedelta(days=6)} 00:00 to {today + timedelta(days=1)}")
    for name, day in (("start", today - timedelta(days=1)), ("end", today + timedelta(days=1))):
        field = page.locator(f"#production-days-place .dash-datepicker-{name}-date")
        field.fill(day.isoformat())
        field.press("Enter")
        page.keyboard.press("Escape")  # closes the calendar
    until = today + timedelta(days=2)
    page.wait_for_selector(f"text=/live predictions, {today - timedelta(days=1)} 00:00 to {until} 00:00 UTC/")
    shown("everything", "live predictions")
    page.wait_for_selector("#production-days-place", state="hidden")
    at_console.assert_clean()


def test_pictures_are_as_wide_as_their_place_and_stay_so(at_console: Visit) -> None:
    page = at_console.open("/production")
    fits = """width => {
        const pictures = [...document.querySelectorAll(".picture:not([hidden])")];
        const plots = pictures.map(picture => picture.querySelector(".js-plotly-plot"));
        return window.innerWidth === width && plots.length > 3 && plots.every((plot, i) => (
            plot && plot.querySelector(".main-svg") && plot.layout.width === pictures[i].clientWidth));
    }"""
    page.wait_for_function(fits, arg=1280)
    for size in (PHONE, {"width": 1280, "height": 900}):
        page.set_viewport_size(size)
        page.wait_for_function(fits, arg=size["width"])
    at_console.assert_clean()


def test_pictures_whose_code_does_not_come_are_said_to_be_missing_and_the_rest_is_there(at_console: Visit) -> None:
    at_console.page.route("**/plotly*.min.js", lambda route: route.abort())
    page = at_console.open("/production")
    page.wait_for_selector("section:has([id*='volume']) .wrong >> text=could not be loaded. Load the page again")
    page.wait_for_selector("#riskiest .ag-row")
    assert "predictions" in page.inner_text("#production-totals")
    at_console.page.unroute("**/plotly*.min.js")
    at_console.page.reload()
    page.wait_for_selector("[id*='volume'].picture .main-svg")


def test_a_page_that_is_opened_is_not_asked_for_a_second_time(at_console: Visit) -> None:
    asked: list[str] = []
    at_console.page.on("request", lambda request: asked.append(request.post_data or ""))
    page = at_console.open("/production?from=elsewhere")
    at_console.settle()
    assert not any(json.loads(body)["output"].startswith("..content.children") for body in asked if body)
    length = page.evaluate("history.length")
    page.click("nav >> text=Customer")
    page.wait_for_selector("nav a[aria-current=page] >> text=Customer")
    assert any('"..content.children' in body for body in asked)
    assert page.evaluate("history.length") == length + 1
    page.go_back()
    page.wait_for_selector("nav a[aria-current=page] >> text=Production")
    assert page.url.endswith("/production?from=elsewhere")


def test_the_theme_that_was_chosen_stays(at_console: Visit) -> None:
    page = at_console.open("/production")
    for theme in ("light", "dark"):  # the browser answers a click when Dash gets round to it
        page.click("#theme-button")
        page.wait_for_selector(f"#theme-button:text-is('Theme: {theme}')")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.reload()
    page.wait_for_selector(".page h1")
    page.wait_for_selector("#theme-button:text-is('Theme: dark')")


@pytest.mark.parametrize("path", PAGES)
def test_a_page_prints(at_console: Visit, tmp_path: Path, path: str) -> None:
    page = at_console.open(path)
    at_console.settle()
    printed = page.pdf()
    assert printed.startswith(b"%PDF")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 15


def test_who_may_only_read_sees_no_customer(chromium: Any, installation: Installation, tmp_path: Path) -> None:
    """A console of its own beside the same folder, with keys."""
    key = add_key(tmp_path / "keys", "score", "reader")
    port, log = free_port(), tmp_path / "console.log"
    url = f"http://127.0.0.1:{port}"
    arguments = ("--folder", installation.folder, "--port", port, "--service", installation.service)
    looking = start("console", *arguments, log=log, GAUNTLET_CONSOLE_KEYS_FOLDER=tmp_path / "keys")
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        made.page.goto(f"{url}/production")
        made.page.fill("#key", key)
        made.page.press("#key", "Enter")
        made.page.wait_for_selector("#riskiest .ag-row")
        assert made.page.url == f"{url}/production"
        shown = made.page.inner_text("#riskiest .ag-row >> nth=0")
        assert "SYN-" not in shown
        assert "…" in shown
        made.page.click("nav a >> text=Customer")
        made.page.wait_for_selector("#customer-fill[disabled]")
        made.page.click("text=Log out")
        made.page.wait_for_selector("#key")
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)


def test_an_empty_installation_is_told_what_to_do(chromium: Any, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "console.log"
    url = f"http://127.0.0.1:{port}"
    looking = start("console", "--folder", tmp_path / "empty", "--port", port, log=log)
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        made.open("/production")
        assert made.page.inner_text(".first .command").startswith("gauntlet train --folder")
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)
    assert not (tmp_path / "empty" / "mlflow.db").exists()


def test_a_page_whose_store_comes_later_is_shown_by_itself(
    chromium: Any, installation: Installation, tmp_path: Path
) -> None:
    folder, port, log = tmp_path / "later", free_port(), tmp_path / "console.log"
    url = f"http://127.0.0.1:{port}"
    folder.mkdir()
    for one in installation.folder.iterdir():
        if not one.name.startswith("store.db"):
            (folder / one.name).symlink_to(one)
    looking = start("console", "--folder", folder, "--port", port, log=log, GAUNTLET_CONSOLE_REFRESH_SECONDS=2)
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        made.open("/production")
        assert "Nobody was scored yet" in made.page.inner_text(".first")
        opened = made.page.evaluate("performance.timeOrigin")
        (folder / "store.db").symlink_to(installation.folder / "store.db")
        made.page.wait_for_selector("#production-totals .tile")
        made.page.wait_for_selector("#riskiest .ag-row", state="attached")
        assert made.page.evaluate("performance.timeOrigin") == opened, "nobody had to load it again"
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)


def test_without_scoring_the_page_says_so(chromium: Any, installation: Installation, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "console.log"
    url = f"http://127.0.0.1:{port}"
    nobody = f"http://127.0.0.1:{free_port()}"
    looking = start("console", "--folder", installation.folder, "--port", port, "--service", nobody, log=log)
    try:
        wait_for(f"{url}/readyz", looking, log)
        made = visit(chromium, url)
        made.open("/customer")
        made.page.wait_for_selector("#customer-answer [role=alert] >> text=does not answer")
        made.page.wait_for_selector(".card .notice.wrong:not([hidden]) >> text=does not answer")
        made.assert_clean()
        made.page.context.close()
    finally:
        stop(looking)
