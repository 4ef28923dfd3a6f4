"""Pictures, notices and pages: an error is shown as such, and colours are the same in browser and palette."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from console_toys import settings_in
from dash import dcc, html

from bentos import palette
from bentos.errors import InvalidSetting, NotFound, Unavailable
from bentos.palette import IN_THE_DARK, rising
from service.console.app import PAGES
from service.console.pages import Page
from service.console.parts import draw, say, table
from service.console.settings import ConsoleSettings
from service.console.shell import page_at, why_not
from service.console.sources import Sources
from validation.pages import Figure, layout_of

CONSOLE = Path(__file__).parents[4] / "service" / "console"


def fails() -> Figure:
    raise NotFound("nothing is there")


def is_away() -> Figure:
    raise Unavailable("the store does not answer")


def test_a_picture_that_cannot_be_made_says_why() -> None:
    assert draw(is_away) == {"wrong": "The store does not answer"}
    assert "The store does not answer" in str(say(is_away))


def test_where_there_is_nothing_to_show_nothing_is_wrong() -> None:
    assert draw(fails) == {"nothing": "Nothing is there"}
    assert "Nothing is there" in str(say(fails))


@pytest.mark.parametrize(("rows", "layout"), [(0, "normal"), (1, "autoHeight"), (6, "autoHeight"), (7, "normal")])
def test_a_few_rows_leave_no_empty_space_in_a_table(rows: int, layout: str) -> None:
    section = table("some", [{"field": "a"}], [{"a": 1}] * rows, title="Some", file="some", height="20rem")
    grid = section.children[-1]
    assert grid.dashGridOptions["domLayout"] == layout
    assert (grid.style["height"] is None) == (layout == "autoHeight")


def test_a_picture_carries_its_numbers() -> None:
    figure = Figure("x", "Title", "n = 1", [{"type": "bar"}], layout_of(100, "x", "y"), (("a", "b"), [("1", "2")]))
    said = draw(lambda: figure)
    assert (said["title"], said["rows"]) == ("Title", [["1", "2"]])


def test_an_empty_installation_is_told_the_one_command(tmp_path: Path) -> None:
    said = str(page_at(PAGES, "/production", Sources(settings_in(tmp_path))))
    assert f"gauntlet train --folder {tmp_path}" in said
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def test_a_page_that_cannot_be_shown_is_tried_again_and_says_why_not(tmp_path: Path) -> None:
    sources = Sources(settings_in(tmp_path))
    empty = page_at(PAGES, "/production", sources)
    assert [part.interval for part in empty.children if isinstance(part, dcc.Interval)] == [10_000]
    assert why_not(empty) == why_not(page_at(PAGES, "/production", sources)) is not None
    (tmp_path / "mlflow.db").write_text("this is no database")
    assert why_not(page_at(PAGES, "/production", sources)) != why_not(empty)


def test_a_page_that_is_shown_is_not_tried_again(tmp_path: Path) -> None:
    page = Page("/there", "There", "It is.", lambda _: html.P("here"), lambda *_: None)
    ready = SimpleNamespace(next_step=lambda **_: None)
    shown = page_at([page], "/there", ready)  # type: ignore[arg-type]
    assert why_not(shown) is None
    assert not any(isinstance(part, dcc.Interval) for part in shown.children)


def test_an_address_that_is_no_page_says_which_there_are(tmp_path: Path) -> None:
    said = str(page_at(PAGES, "/nothing", Sources(settings_in(tmp_path))))
    assert "There is no /nothing" in said
    assert "/customer" in said


def test_a_page_that_cannot_be_read_says_so_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database")
    said = str(page_at(PAGES, "/production", Sources(settings_in(tmp_path))))
    assert "notice wrong" in said


def test_the_browser_has_the_palettes_colours() -> None:
    script = (CONSOLE / "assets" / "console.js").read_text()
    listed = script[script.index("PALE = {") : script.index("};")]
    assert dict(re.findall(r'"(#[0-9a-f]{6})": "(#[0-9a-f]{6})"', listed)) == IN_THE_DARK


def test_every_colour_that_means_something_has_one_for_the_dark() -> None:
    named = {value for name, value in vars(palette).items() if name.isupper() and isinstance(value, str)}
    assert {*named, *palette.FURTHER, *palette.RISING} <= set(IN_THE_DARK)


def test_rising_colours_are_as_many_as_asked_for() -> None:
    assert len(set(rising(5))) == 5


def test_assets_ask_no_other_host() -> None:
    for asset in (CONSOLE / "assets").iterdir():
        assert set(re.findall(r"https?://[^\s\"')]+", asset.read_text())) <= {"http://www.w3.org/2000/svg"}, asset


def test_the_console_knows_no_use_case() -> None:
    for source in CONSOLE.rglob("*.py"):
        assert "churn" not in source.read_text().lower(), source


def test_every_setting_says_what_it_is_for() -> None:
    source = (CONSOLE / "settings.py").read_text()
    for name in ConsoleSettings.model_fields:
        assert re.search(rf'^    {name}: .*?\n(    .*\n|\n)*?    """\w', source, re.MULTILINE), name


def test_a_setting_that_is_not_allowed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUNTLET_CONSOLE_REFRESH_SECONDS", "0")
    with pytest.raises(InvalidSetting, match="GAUNTLET_CONSOLE_REFRESH_SECONDS"):
        settings_in(tmp_path)
