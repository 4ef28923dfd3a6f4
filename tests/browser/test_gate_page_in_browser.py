"""The gate's page in a real Chromium: every picture is drawn, nothing is asked of the network, no error is logged."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from gate_pages import page_of_every_kind

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; on Debian: apt-get install chromium"),
]


def opened(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page, let its scripts run, and print the document as it is then; the console goes to stderr."""
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
        "--log-level=0",
        "--virtual-time-budget=10000",
        f"--user-data-dir={page.parent / 'profile'}",
        *options,
        page.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_bytes(page_of_every_kind())
    return path


def test_every_picture_is_drawn_and_nothing_goes_wrong(page: Path) -> None:
    done = opened(page, "--dump-dom")
    places = re.findall(r'<div id="([a-z_0-9]+)" class="picture', done.stdout)
    drawn = re.findall(r'<div id="([a-z_0-9]+)" class="picture js-plotly-plot"', done.stdout)
    assert len(places) >= 9
    assert drawn == places
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [360, 390, 700])
def test_it_fits_narrow_windows(page: Path, width: int) -> None:
    """Nothing is wider than the window, so nobody has to scroll sideways.

    A headless window has at least 500 pixels: a frame of the page's own is as narrow as a phone.
    """
    tell = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>"
    page.write_text(page.read_text().replace("</body>", tell))
    frame = page.with_name("frame.html")
    frame.write_text(
        f"<!doctype html><iframe src='{page.as_uri()}' style='width:{width}px;height:900px;border:0'></iframe>"
        "<script>onmessage = message => { document.title = message.data; }</script>"
    )
    told = re.search(r"<title>(\d+)</title>", opened(frame, "--dump-dom", "--window-size=900,900").stdout)
    assert told is not None
    assert int(told[1]) <= width


def test_it_prints_on_a_few_pages(page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    opened(page, f"--print-to-pdf={printed}", "--blink-settings=preferredColorScheme=0")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 3 <= pages <= 15


def test_it_is_drawn_in_the_dark_too(page: Path, tmp_path: Path) -> None:
    light, dark = tmp_path / "light.png", tmp_path / "dark.png"
    opened(page, f"--screenshot={light}", "--window-size=900,900")
    opened(page, f"--screenshot={dark}", "--window-size=900,900", "--blink-settings=preferredColorScheme=0")
    assert light.read_bytes() != dark.read_bytes()
    assert min(light.stat().st_size, dark.stat().st_size) > 20_000
