"""One real demo with its service and console for all browser tests, and a Chromium that remembers what went wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_MILLISECONDS = 90_000
"""A machine may be busy; nothing here measures."""


@dataclass(frozen=True)
class Installation:
    """A played demo that is served, and its console.

    Attributes:
        folder: Where everything lies.
        service: Scoring's address.
        console: The console's address.
    """

    folder: Path
    service: str
    console: str


_RESTS_MS = 300
"""A table that has just got its rows draws its columns once more when it knows its width."""
_SETTLED = """rests => {
  const all = what => [...document.querySelectorAll(what)];
  const isRead = !all(".card > p.soft, p.reading").some(p => p.textContent === "Reading …");
  const hasHead = g => g.querySelector(".ag-header-cell")
    && [...g.querySelectorAll(".ag-header-row")].every(row => row.childElementCount);
  const filled = ".ag-row .ag-cell, .ag-overlay-wrapper:not(.ag-overlay-loading-wrapper)";
  const stands = all(".grid").every(g => hasHead(g) && g.querySelector(filled));
  const seen = isRead && stands && all(".grid").map(g => g.querySelectorAll(".ag-cell, .ag-header-cell").length).join();
  if (seen === false || seen !== window.settled) window.settledAt = performance.now();
  window.settled = seen;
  return seen !== false && performance.now() - window.settledAt >= rests;
}"""

_NETWORK_CHANGED = "net::ERR_NETWORK_CHANGED"
"""A pod that starts on this machine is a new network to Chromium, which gives up what it fetches; people load again."""

_MOST_LOOKS = 5
"""A table that is drawn anew has no columns for a moment; what is really wrong is so however often one looks."""
_WATCHED = """() => {
  window.moved = false;
  window.watching = window.watching || new MutationObserver(() => { window.moved = true; });
  window.watching.observe(document.querySelector("main"), { childList: true, subtree: true });
}"""


@dataclass
class Visit:
    """A browser at one console.

    Attributes:
        page: Playwright's page.
        url: Of the console.
        wrong: Errors of the browser's console, of scripts, and answers that are errors.
        hosts: Whom the pages asked.
    """

    page: Any
    url: str
    wrong: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def open(self, path: str) -> Any:
        """Go to a page, and wait until it stands."""
        before = len(self.wrong)
        self.page.goto(self.url + path)
        if any(_NETWORK_CHANGED in said for said in self.wrong[before:]):
            del self.wrong[before:]
            self.page.reload()
        self.page.wait_for_selector(".page h1")
        return self.page

    def settle(self) -> None:
        """Wait until no picture of the page is being read any more, and tables stand and have come to rest."""
        self.page.wait_for_function(_SETTLED, arg=_RESTS_MS)

    def grid(self, name: str) -> Any:
        """A table of the page with its rows in sight: those that are out of sight are drawn by nobody."""
        self.page.wait_for_selector(f"#{name} .ag-row", state="attached")
        self.page.locator(f"#{name}").scroll_into_view_if_needed()
        self.page.wait_for_selector(f"#{name} .ag-row >> nth=0")
        return self.page.locator(f"#{name}")

    def assert_clean(self) -> None:
        """Nothing went wrong, and nobody but the console was asked."""
        assert self.wrong == []
        assert self.hosts == {urlsplit(self.url).netloc}

    def serious_findings(self) -> list[str]:
        """What axe-core finds that keeps people out, of a page that stood still while it looked."""
        from axe_playwright_python.sync_playwright import Axe

        for _ in range(_MOST_LOOKS):
            self.settle()
            self.page.evaluate(_WATCHED)
            found = Axe().run(self.page).response["violations"]
            if not found or not self.page.evaluate("window.moved"):
                break
        return [
            f"{one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]


def environment() -> dict[str, str]:
    """This process's variables without those that would lead elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("GAUNTLET_", "MLFLOW_"))}


def start(*arguments: object, log: Path, **variables: object) -> subprocess.Popen[bytes]:
    """Start a command of ours whose output goes to a file; `variables` are of its environment."""
    command = [sys.executable, str(ROOT / "gauntlet.py"), *map(str, arguments)]
    told = environment() | {name: str(value) for name, value in variables.items()}
    with log.open("ab") as out:
        return subprocess.Popen(command, cwd=ROOT, env=told, stdout=out, stderr=subprocess.STDOUT)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def wait_for(
    url: str,
    process: subprocess.Popen[bytes],
    log: Path,
    seconds: float = 120,
    *,
    says: Callable[[bytes], bool] = lambda _answer: True,
) -> None:
    """Wait until a server answers, and what it `says` is what is waited for."""
    until = time.monotonic() + seconds
    while True:
        with suppress(URLError, ConnectionError, TimeoutError), urlopen(url, timeout=5) as answer:
            if says(answer.read()):
                return
        assert process.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < until, log.read_text()[-3000:]
        time.sleep(0.2)


def hears_the_judge(experiment: bytes) -> bool:
    """Whether scoring has the judge's word: it is ready without, and on a busy machine seconds earlier."""
    return json.loads(experiment)["judge"].get("status") != "unavailable"


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process of ours as a person would."""
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that was played to its end: now, or earlier where `PLAYED_DEMO` names its folder."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; on Debian: apt-get install chromium")
    if "PLAYED_DEMO" in os.environ:
        return Path(os.environ["PLAYED_DEMO"])
    place = tmp_path_factory.mktemp("played")
    folder, log = place / "demo", place / "demo.log"
    demo = start("demo", "--seed", "7", "--folder", folder, log=log)
    assert demo.wait(timeout=900) == 0, log.read_text()[-3000:]
    return folder


@pytest.fixture(scope="session")
def installation(played: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """The demo's folder served, with insight, and a console in front of it."""
    ports, log = (free_port(), free_port(), free_port()), tmp_path_factory.mktemp("serving") / "log"
    service, console = (f"http://127.0.0.1:{port}" for port in ports[:2])
    serving = start("serve", "--insight", "--folder", played, "--port", ports[0], "--admin-port", ports[2], log=log)
    looking = start("console", "--folder", played, "--port", ports[1], "--service", service, log=log)
    try:
        wait_for(f"{service}/readyz", serving, log)
        wait_for(f"{service}/v1/experiment", serving, log, says=hears_the_judge)
        wait_for(f"{console}/readyz", looking, log)
        yield Installation(played, service, console)
    finally:
        stop(looking)
        stop(serving)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(chromium: Any, url: str, **options: Any) -> Visit:
    """A fresh browser at a console; `options` are of Playwright's context."""
    context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
    context.set_default_timeout(PATIENCE_MILLISECONDS)
    made = Visit(context.new_page(), url)
    made.page.on("console", lambda said: made.wrong.append(said.text) if said.type == "error" else None)
    made.page.on("pageerror", lambda error: made.wrong.append(str(error)))
    made.page.on(
        "response", lambda answer: made.wrong.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
    )
    made.page.on(
        "request", lambda request: made.hosts.add(urlsplit(request.url).netloc) if _asks(request.url) else None
    )
    return made


def _asks(url: str) -> bool:
    return urlsplit(url).scheme not in ("data", "blob")


@pytest.fixture
def at_console(chromium: Any, installation: Installation) -> Iterator[Visit]:
    """A browser at the played demo's console."""
    made = visit(chromium, installation.console)
    yield made
    made.page.context.close()
