"""What pages are made of: places for pictures and tables, notices, tiles. No I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dash_ag_grid as dag
from dash import Output, dcc, html
from dash.development.base_component import Component

from bentos.errors import GauntletError, NotFound
from service.console.sources import NextStep
from validation.pages import Figure

logger = logging.getLogger("gauntlet.console")

Row = Mapping[str, Any]

_FEW_ROWS = 6
_READING = "Reading …"


def heading(name: str, says: str) -> Component:
    """A page's heading."""
    return html.Header([html.H1(name, id="page-title", tabIndex="-1"), html.P(says, className="soft")])


def notice(text: str, *, is_wrong: bool = False) -> Component:
    """Something to be read before anything else; what is wrong is announced."""
    kind = "notice wrong" if is_wrong else "notice"
    return html.P(text, className=kind, role="alert" if is_wrong else "status")


def reading() -> Component:
    """Stands where something will stand that takes its time."""
    return html.P(_READING, className="soft reading")


def what_to_do(step: NextStep, *, looks_again: bool = True) -> Component:
    """The first screen of an installation that lacks something, on a page that `looks_again` by itself or does not."""
    when = "by itself" if looks_again else "when it is loaded again"
    return html.Section(
        [
            html.H2("What to do next"),
            html.P(step.says),
            html.Pre(html.Code(step.command), className="command", tabIndex="0"),
            html.P(f"This page looks again {when}.", className="soft"),
        ],
        className="card first",
    )


def tile(name: str, value: str, says: str = "") -> Component:
    """One number that matters, with what it is."""
    return html.Div(
        [html.Dt(name), html.Dd([html.Strong(value), html.Span(says, className="soft")])],
        className="tile",
    )


def tiles(content: Sequence[Component]) -> Component:
    """Numbers side by side."""
    return html.Dl(list(content), className="tiles")


def place(name: str, title: str, *, height: int = 320, is_narrow: bool = False) -> Component:
    """Where a picture will stand; a callback with `Output` `drawn(name)` gives it what `draw` returns.

    Args:
        name: Of the picture, in no other place of any page.
        title: Until the picture says its own, and beside an error.
        height: In pixels, until the picture says its own.
        is_narrow: Whether two of them stand side by side where there is room.
    """
    return _place(name, html.H2(title, id=_id("title", name)), height=height, is_narrow=is_narrow)


def picture(figure: Figure, name: str, *, is_under: bool = False) -> Component:
    """A picture and its place together, where a callback says which pictures there are.

    Args:
        figure: The picture.
        name: As of `place`.
        is_under: Whether it stands under a heading of its own.
    """
    title = (html.H3 if is_under else html.H2)(figure.title, id=_id("title", name))
    height, drawn = int(figure.layout["height"]), draw(lambda: figure)
    return _place(name, title, height=height, is_narrow=figure.is_narrow, drawn=drawn)


def _place(
    name: str, title: Component, *, height: int, is_narrow: bool, drawn: dict[str, Any] | None = None
) -> Component:
    return html.Section(
        [
            dcc.Store(id=_id("drawn", name), data=drawn),
            title,
            html.P(_READING, id=_id("says", name), className="soft"),
            html.Div(id=_id("wrong", name), role="alert", className="notice wrong", hidden=True),
            html.Div(
                id=_id("frame", name),
                role="img",
                className="picture",
                style={"minHeight": f"{height}px"},
                **{"aria-label": title.children},
            ),
            html.Details(
                [html.Summary("The numbers"), html.Div(id=_id("numbers", name), className="wide")],
                id=_id("details", name),
                hidden=True,
            ),
        ],
        className="card half" if is_narrow else "card whole",
    )


def drawn(name: str) -> Output:
    """Where the picture of that name comes to stand."""
    return Output(_id("drawn", name), "data")


def draw(make: Callable[[], Figure]) -> dict[str, Any]:
    """A picture as the page takes it, or why there is none: never an empty chart.

    Args:
        make: Reads and makes the picture.
    """
    try:
        figure = make()
    except NotFound as e:  # nothing is wrong: there is nothing to show yet
        return {"nothing": sentence(e)}
    except GauntletError as e:
        return {"wrong": sentence(e)}
    heading, rows = figure.table
    return {
        "name": figure.name,
        "title": figure.title,
        "says": figure.says,
        "data": figure.traces,
        "layout": figure.layout,
        "heading": list(heading),
        "rows": [list(row) for row in rows],
    }


def say(make: Callable[[], Any]) -> Any:
    """What a callback gives a page, or a notice of why it cannot."""
    try:
        return make()
    except GauntletError as e:
        return notice(sentence(e), is_wrong=True)


def sentence(error: GauntletError) -> str:
    """An error as a page says it."""
    text = str(error) or type(error).__name__
    if not isinstance(error, NotFound):  # that there is nothing yet is no news for whoever reads logs
        logger.warning("page_incomplete", extra={"error": type(error).__name__})
    return text[0].upper() + text[1:]


def table(
    name: str,
    columns: Sequence[Mapping[str, Any]],
    rows: Sequence[Row] | None = (),
    *,
    title: str,
    file: str,
    height: str | None = None,
    beside: Sequence[Component] = (),
    **options: Any,
) -> Component:
    """A table that sorts, filters, and saves what it shows as CSV.

    Args:
        name: Its id; a callback may give it `rowData`.
        columns: Of AG Grid: `field`, `headerName`, and `type: "rightAligned"` for numbers.
        rows: What is in it at first; None: they are being read, and a callback gives them.
        title: What it shows; its heading.
        file: The name of the CSV file, without its ending.
        height: A CSS height, which a few rows do not need; None: as many rows as there are.
        beside: Further buttons beside the one that saves.
        options: Further ones of AG Grid.
    """
    if rows and len(rows) <= _FEW_ROWS:
        height = None
    grid = dag.AgGrid(
        id=name,
        columnDefs=[dict(column) for column in columns],
        rowData=None if rows is None else [dict(row) for row in rows],
        defaultColDef={
            "sortable": True,
            "filter": True,
            "resizable": True,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
            "minWidth": 128,
            "flex": 1,
        },
        dashGridOptions={
            "domLayout": "normal" if height else "autoHeight",
            "ensureDomOrder": True,
            "enableCellTextSelection": True,
            "defaultCsvExportParams": {"fileName": f"{file}.csv"},
            **options,
        },
        style={"height": height} if height else {"height": None},
        className="grid",
    )
    saving = html.Button("Save as CSV", id=_id("save", name), className="quiet", n_clicks=0)
    buttons = html.Div([saving, *beside], className="buttons") if beside else saving
    head = html.Div([html.H2(title, id=f"{name}-title"), buttons], className="headed")
    return html.Section([head, grid], className="card whole", **{"aria-labelledby": f"{name}-title"})


def saves(name: str) -> dict[str, str]:
    """The id of the button that saves a table."""
    return _id("save", name)


def _id(part: str, name: str) -> dict[str, str]:
    return {"part": part, "name": name}
