"""What the page Production says, as parts of a page: controls, tiles, alerts. Values in, components out."""

from __future__ import annotations

from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from bentos.artifact import Contract
from service.console.parts import tile, tiles
from service.console.production.alerts import Alert
from service.console.production.course import Sums
from service.console.production.spans import DAY, HOUR

SPANS = {"hour": ("the last hour", HOUR), "day": ("the last 24 hours", DAY), "week": ("the last 7 days", 7 * DAY)} | {
    "month": ("the last 30 days", 30 * DAY)
}
ALL, DATES = "all", "dates"
DAYS, PICKER = "production-days", "production-picker"
"""What holds the two chosen days, and what they are chosen with."""
NOW, LAST_TOLD = "now", "last"
WINDOWS = (50, 100, 200, 500, 1000, 2000, 5000)
_STATES = {"well": "well", "alert": "ALERT", "unknown": "cannot say"}


def controls() -> Component:
    """What of production is shown."""
    times = [*((key, name) for key, (name, _) in SPANS.items()), (ALL, "everything"), (DATES, "between two days")]
    return html.Div(
        [
            _choice("production-span", "Time", times, ALL),
            dcc.Store(id=DAYS),
            html.Div(id="production-days-place", hidden=True),
            _choice("production-window", "Rolling window", [(n, f"{n:,} predictions") for n in WINDOWS], 200),
            _choice("production-moment", "Truths as of", [(NOW, "now"), (LAST_TOLD, "the last that was told")], NOW),
            html.Button("Live", id="production-live", className="quiet", n_clicks=0, **{"aria-pressed": "true"}),
        ],
        className="bar",
    )


def days_picker() -> list[Component]:
    """Which days, made for those alone who choose between two: a browser needs as long for it as for a picture."""
    return [html.Div("Days, UTC", className="label"), dcc.DatePickerRange(id=PICKER)]


def show_totals(sums: Sums, contract: Contract) -> Component:
    """The numbers that matter."""
    positive, highest = contract.labels.positive, contract.risk_bands[-1]
    return tiles(
        [
            tile("Live predictions", f"{sums.n:,}", "that a model answered"),
            tile(f"{contract.target} = {positive}", f"{sums.positive / sums.n:.1%}", f"{sums.positive:,} predictions"),
            tile(f"Risk {highest.name}", f"{sums.highest:,}", f"{sums.highest / sums.n:.1%} of predictions"),
            tile("Mean probability", f"{sums.mean:.3f}", f"of {positive}"),
            tile("Answered by the challenger", f"{sums.challenger:,}", f"{sums.challenger / sums.n:.1%}"),
        ]
    )


def show_alert(alert: Alert) -> list[Component]:
    """What one rule says, within its place in the list."""
    return [
        html.Span(_STATES[alert.state], className=f"state {alert.state}"),
        html.Strong(alert.rule),
        html.Span(alert.says, className="soft"),
    ]


def _choice(name: str, label: str, options: list[tuple[Any, str]], value: Any) -> Component:
    return html.Div(
        [
            html.Label(label, htmlFor=name),
            dcc.Dropdown(
                id=name,
                options=[{"value": key, "label": text} for key, text in options],
                value=value,
                clearable=False,
                searchable=False,
            ),
        ]
    )
