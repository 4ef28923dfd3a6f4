"""The console on a real cluster: people come by port-forward with a key, and see what PostgreSQL and MLflow hold."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import httpx
import pytest
from cluster_tools import wait_for
from installing import HOST, INGRESS, Installation, ask_store
from playwright.sync_api import Page, sync_playwright

CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def url(installation: Installation) -> Iterator[str]:
    wait_for(lambda: bool(installation.kube.pods("console")), "the console never became ready")
    with installation.kube.forward("service/gauntlet-console", 3005) as found:
        yield found


@pytest.fixture
def page(url: str, installation: Installation) -> Iterator[Page]:
    """A browser in which somebody logged in with the administration's key."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            found = browser.new_page()
            found.goto(f"{url}/login")
            found.fill("input[name=key]", installation.key)
            found.press("input[name=key]", "Enter")
            found.wait_for_selector(".page h1")  # going elsewhere at once would take the login back
            yield found
        finally:
            browser.close()


def test_nobody_sees_anything_without_a_key(url: str) -> None:
    assert httpx.get(f"{url}/production", headers={"accept": "text/html"}).headers["location"].startswith("/login")
    assert httpx.get(f"{url}/_dash-layout").status_code == 401
    assert httpx.post(f"{url}/login", data={"key": "guess"}, headers={"origin": url}).status_code == 401


def test_what_was_scored_through_the_ingress_is_shown(installation: Installation, url: str, page: Page) -> None:
    assert installation.score("seen-in-the-console", url=INGRESS, host=HOST).status == 200
    wait_for(
        lambda: ask_store(installation.kube, "select 1 from predictions where customer_id = 'seen-in-the-console'"),
        "the prediction never came to PostgreSQL",
    )
    page.goto(f"{url}/production")
    page.get_by_text("Live predictions", exact=True).wait_for()
    page.get_by_text("live predictions, ").first.wait_for()
    assert "does not answer" not in page.inner_text("body")


def test_a_known_customer_is_scored_anew_and_explained_through_scoring(
    installation: Installation, url: str, page: Page
) -> None:
    page.goto(f"{url}/customer")
    page.get_by_role("button", name="An example").click()
    page.get_by_role("button", name="Explain this customer").click()
    page.get_by_text("In plain words").wait_for(timeout=60_000)
    assert "does not answer" not in page.inner_text("body")
