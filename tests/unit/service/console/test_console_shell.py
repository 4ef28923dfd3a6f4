"""The frame of every page: what is in it when somebody opens an address, and where browsers find its code."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from console_toys import ORIGIN, browser, settings_in

from service.console import page_code, shell
from service.console.app import make_app
from service.console.sources import NextStep, Sources

FROM = "http://localhost"
FIRST = "What to do next"


def frame_of(client: Any, opened: str | None) -> str:
    headers = {} if opened is None else {"Referer": opened}
    return client.get("/_dash-layout", headers=headers).text


@pytest.mark.parametrize("path", ["/", "/gate", "/models"])
def test_who_opens_a_page_gets_it_with_its_frame(tmp_path: Path, path: str) -> None:
    frame = frame_of(browser(tmp_path), f"{FROM}{path}?version=2")
    assert FIRST in frame
    assert json.loads(frame)["props"]["children"][0]["props"]["pathname"] == path


@pytest.mark.parametrize("opened", [None, "", f"{FROM}/elsewhere", "http://[", f"{FROM}/login?next=/gate"])
def test_where_no_page_is_named_the_browser_is_given_it_later(tmp_path: Path, opened: str | None) -> None:
    frame = frame_of(browser(tmp_path), opened)
    assert FIRST not in frame
    assert '"pathname"' not in frame
    assert '"id":"content"' in frame


class _Asked(Sources):
    """Sources whose first answer is whatever a test wants."""

    def __init__(self, folder: Path, answer: Any) -> None:
        super().__init__(settings_in(folder))
        self._answer = answer

    def next_step(self, **_: Any) -> NextStep | None:
        return self._answer()


def test_a_page_that_takes_its_time_does_not_keep_the_frame_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shell, "_OPENS_SECONDS", 0.05)
    answers = threading.Event()

    def late() -> NextStep:
        answers.wait()
        return NextStep("at last", "true")

    client = make_app(settings_in(tmp_path), _Asked(tmp_path, late)).server.test_client()
    try:
        assert "at last" not in frame_of(client, f"{FROM}/gate")
    finally:
        answers.set()
    monkeypatch.undo()
    assert "at last" in frame_of(client, f"{FROM}/gate")


def test_a_page_that_fails_leaves_the_frame_and_is_asked_again(tmp_path: Path) -> None:
    def fails() -> NextStep:
        raise RuntimeError("of this test")

    client = make_app(settings_in(tmp_path), _Asked(tmp_path, fails)).server.test_client()
    frame = frame_of(client, f"{FROM}/gate")
    assert '"id":"content"' in frame
    assert '"pathname"' not in frame


def test_every_script_and_style_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    page = browser(tmp_path).get("/").text
    named = set(re.findall(r'"/assets/([^"?]+)\?v=[0-9a-f]{16}"', page))
    assert named == {path.name for path in page_code.FOLDER.iterdir()}


def test_browsers_keep_a_file_that_is_what_its_address_says(tmp_path: Path) -> None:
    client, address = browser(tmp_path), page_code.address("console.js")

    def keeping(asked: str) -> str:
        answer = client.get(asked, buffered=True)
        assert answer.status_code == 200
        return answer.headers["Cache-Control"]

    assert keeping(address) == "private, max-age=31536000, immutable"
    # Of another version of the console, which an upgrade may have answering beside this one.
    assert keeping(address[:-1] + ("0" if address[-1] != "0" else "1")) == "private, no-cache"
    assert keeping("/assets/console.js") == "private, no-cache"
    assert client.get("/assets/gone.js?v=").headers["Cache-Control"] == "no-store"


def test_a_page_carries_what_it_needs_of_dash_and_no_more(tmp_path: Path) -> None:
    page = browser(tmp_path).get("/production").text
    scripts = re.findall(r'<script [^>]*src="([^"]+)"', page)
    assert not [script for script in scripts if "polyfill" in script or "dash_table" in script]
    first_of_dash = next(number for number, script in enumerate(scripts) if "/_dash-component-suites/" in script)
    assert scripts.index(page_code.address("generators.js")) < first_of_dash


def test_generators_are_all_that_dash_s_scripts_need_of_the_runtime_that_is_left_out(tmp_path: Path) -> None:
    client = browser(tmp_path)
    scripts = re.findall(r'<script [^>]*src="(/_dash-component-suites/[^"]+)"', client.get("/").text)
    code = "\n".join(client.get(script, buffered=True).text for script in scripts)
    assert set(re.findall(r"regeneratorRuntime\.(\w+)", code)) == {"mark", "wrap"}
    made = re.findall(r"regeneratorRuntime\.wrap\(function\((\w+)\)\{(.*?)\},\w+\)", code)
    assert len(made) == code.count("regeneratorRuntime.wrap")
    for state, body in made:
        assert set(re.findall(rf"\b{state}\.(\w+)", body)) == {"prev", "next", "stop"}
        assert "try" not in body


@pytest.mark.parametrize(("path", "has_tables"), [("/production", True), ("/customer", False), ("/", False)])
def test_what_a_page_will_need_is_fetched_with_it(tmp_path: Path, path: str, *, has_tables: bool) -> None:
    client = browser(tmp_path)
    ahead = re.findall(
        r'<link rel="preload" href="(/_dash-component-suites/[^"]+)" as="script">', client.get(path).text
    )
    assert any("dash_ag_grid" in code for code in ahead) is has_tables
    assert {client.get(code, buffered=True).status_code for code in ahead} == {200}


@pytest.mark.parametrize(
    "body",
    ["", "{}", "[]", "5", "null", "NaN", "not JSON", "[" * 100_000, '{"output": 5, "inputs": []}',
     '{"output": "nobody.children", "inputs": []}', '{"output": "theme.data"}', '{"output": [], "inputs": []}'],
    ids=lambda body: body[:30] or "nothing",
)  # fmt: skip
def test_what_no_page_asks_is_refused_and_no_failure(
    tmp_path: Path, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = browser(tmp_path)
    answer = client.post("/_dash-update-component", data=body, headers=ORIGIN, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["detail"] == "no page of this console asks that"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
