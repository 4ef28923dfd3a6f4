"""What the page Production says, as parts of a page: controls, tiles, alerts. Values in, components out."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from bentos.artifact import Contract
from service.console.parts import tile, tiles
from service.console.production.alerts import Alert
from service.console.production.course import Sums
from service.console.production.spans import DAY, HOUR
from service.micros import from_micros

SPANS = {"hour": ("the last hour", HOUR), "day": ("the last 24 hours", DAY), "week": ("the last 7 days", 7 * DAY)} | {
    "month": ("the last 30 days", 30 * DAY)
}
ALL, DATES = "all", "dates"
DAYS, PICKER = "production-days", "production-picker"
"""What holds the two chosen days, and what they are chosen with."""
NOW, LAST_TOLD = "now", "last"
WINDOWS = (50, 100, 200, 500, 1000, 2000, 5000)
WINDOW = 200
"""Of these the one that is chosen at first."""
_STATES = {"well": "well", "alert": "ALERT", "unknown": "cannot say"}


def controls() -> Component:
    """What of production is shown."""
    times = [*((key, name) for key, (name, _) in SPANS.items()), (ALL, "everything"), (DATES, "between two days")]
    return html.Div(
        [
            _choice("production-span", "Time", times, ALL),
            dcc.Store(id=DAYS),
            html.Div(id="production-days-place", hidden=True),
            _choice("production-window", "Rolling window", [(n, f"{n:,} predictions") for n in WINDOWS], WINDOW),
            _choice("production-moment", "Truths as of", [(NOW, "now"), (LAST_TOLD, "the last that was told")], NOW),
            html.Button("Live", id="production-live", className="quiet", n_clicks=0, **{"aria-pressed": "true"}),
        ],
        className="bar",
    )


def days_picker(first: date, final: date) -> list[Component]:
    """Which days, made for those alone who choose between two: a browser needs as long for it as for a picture.

    Args:
        first: Stands in it at first.
        final: As well; nothing is of later days.
    """
    before = final.replace(day=1) - timedelta(days=1)  # the month after this one holds nothing yet
    chosen = dcc.DatePickerRange(
        id=PICKER, start_date=first, end_date=final, initial_visible_month=before, number_of_months_shown=2,
        display_format="YYYY-MM-DD",
    )  # fmt: skip
    return [html.Div("Days, UTC", className="label"), chosen]


def show_totals(sums: Sums, contract: Contract, newest: int, now: datetime) -> Component:
    """The numbers that matter.

    Args:
        sums: Of all that is looked at.
        contract: Gives the labels.
        newest: When the last of them was made, microseconds since 1970 UTC: where nothing comes any more, it is old.
        now: The moment.
    """
    last = from_micros(newest)
    positive, highest = contract.labels.positive, contract.risk_bands[-1]
    return tiles(
        [
            tile("Live predictions", f"{sums.n:,}", "that a model answered"),
            tile(f"{contract.target} = {positive}", f"{sums.positive / sums.n:.1%}", f"{sums.positive:,} predictions"),
            tile(f"Risk {highest.name}", f"{sums.highest:,}", f"{sums.highest / sums.n:.1%} of predictions"),
            tile("Mean probability", f"{sums.mean:.3f}", f"of {positive}"),
            tile("Since the last", say_age((now - last).total_seconds()), f"{last:%Y-%m-%d %H:%M:%S} UTC"),
            tile("Answered by the challenger", f"{sums.challenger:,}", f"{sums.challenger / sums.n:.1%}"),
        ]
    )


def say_age(seconds: float) -> str:
    """How old something is, in the largest unit that it fills.

    Examples:
        >>> say_age(12.4), say_age(119), say_age(3 * 86_400)
        ('12 s', '1 min', '3 days')
    """
    for unit, length in (("day", 86_400), ("hour", 3_600)):
        if seconds >= length:
            number = int(seconds // length)
            return f"{number:,} {unit}{'' if number == 1 else 's'}"
    return f"{int(seconds // 60)} min" if seconds >= 60 else f"{max(0, int(seconds))} s"


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
