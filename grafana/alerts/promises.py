"""Promises to clients and how fast their budgets burn, after chapter 5 of Google's Site Reliability Workbook.

A budget is what may go wrong in 30 days. Burning it 14.4 times as fast as it lasts uses 2 % of it in an hour; an alert
needs a long window, so that it is about something that matters, and a short one, so that it ends when the trouble does.
With few requests a single failure would burn fast: nobody is called before ten requests went wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana.rule_files import Alert, Group, Recording, Severity
from service import metric_names as names

_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_API = 'route=~"/v1/.*|/v2/.*",route!~"/v1/explain|/v1/retention-email"'
"""Explanations and e-mails depend on others, who may be absent: they are promised nothing."""

_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
_FEWEST = 10


@dataclass(frozen=True)
class Promise:
    """What clients may rely on.

    Attributes:
        name: In the names of series.
        alert: The alert's name.
        allowed: The share of requests that may go wrong.
        bad: Requests a second that went wrong, PromQL.
        every: Requests a second.
        says: What is promised, in a sentence.
    """

    name: str
    alert: str
    allowed: float
    bad: str
    every: str
    says: str


@dataclass(frozen=True)
class Burn:
    """How fast is too fast.

    Attributes:
        rate: Times as fast as the budget lasts.
        long: The window in which it matters.
        short: The window in which it still goes on.
        severity: Whom it calls.
        hold: How long it must last.
        uses: What it uses up.
    """

    rate: float
    long: str
    short: str
    severity: Severity
    hold: str
    uses: str


BURNS = (
    Burn(14.4, "1h", "5m", "critical", "2m", "2 % of the month's budget in an hour"),
    Burn(6, "6h", "30m", "critical", "15m", "5 % of the month's budget in six hours"),
    Burn(3, "1d", "2h", "warning", "1h", "10 % of the month's budget in a day"),
    Burn(1, "3d", "6h", "warning", "3h", "10 % of the month's budget in three days"),
)

_ERRORS = f'sum by (namespace) (rate({names.REQUESTS}{{{_API},status=~"5.."}}[5m]))'
_REQUESTS = f"sum by (namespace) (rate({names.REQUESTS}{{{_API}}}[5m]))"
_SINGLE = f'sum by (namespace) (rate({names.REQUEST_SECONDS}_count{{route="/v1/score"}}[5m]))'
_SOON = f'sum by (namespace) (rate({names.REQUEST_SECONDS}_bucket{{route="/v1/score",le="0.05"}}[5m]))'

PROMISES = (
    Promise(
        "availability",
        "GauntletErrorBudgetBurns",
        0.001,
        f"{_ERRORS} or 0 * {_REQUESTS}",
        _REQUESTS,
        "99.9 % of requests are answered without an error of ours (5xx)",
    ),
    Promise(
        "latency",
        "GauntletLatencyBudgetBurns",
        0.01,
        f"{_SINGLE} - {_SOON}",
        _SINGLE,
        "99 % of single rows are answered within 50 ms",
    ),
)


def promise_groups() -> list[Group]:
    """A group of recordings and alerts for each promise."""
    return [_group(promise) for promise in PROMISES]


def _group(promise: Promise) -> Group:
    recorded = [
        Recording(_series(promise, "bad_rate5m"), promise.bad),
        Recording(_series(promise, "requests_rate5m"), promise.every),
    ]
    for window in _WINDOWS:
        recorded += [
            Recording(_series(promise, f"error_ratio{window}"), _ratio(promise, window)),
            Recording(
                _series(promise, f"burn_rate{window}"),
                f"{_series(promise, f'error_ratio{window}')} / {promise.allowed:g}",
            ),
        ]
    left = Recording(_series(promise, "budget_left_ratio"), f"1 - {_series(promise, 'burn_rate30d')}")
    return Group(f"gauntlet-{promise.name}", "30s", [*recorded, left, *(_alert(promise, burn) for burn in BURNS)])


def _series(promise: Promise, name: str) -> str:
    return f"gauntlet:{promise.name}:{name}"


def _ratio(promise: Promise, window: str) -> str:
    bad, every = (f"avg_over_time({_series(promise, f'{name}_rate5m')}[{window}])" for name in ("bad", "requests"))
    return f"{bad} / ({every} > 0)"


def _alert(promise: Promise, burn: Burn) -> Alert:
    long, short = (f"{_series(promise, f'burn_rate{window}')} > {burn.rate:g}" for window in (burn.long, burn.short))
    seconds = int(burn.long[:-1]) * _SECONDS[burn.long[-1]]
    bad = f"avg_over_time({_series(promise, 'bad_rate5m')}[{burn.long}]) * {seconds} >= {_FEWEST}"
    return Alert(
        alert=promise.alert,
        expr=f"{long} and {short} and {bad}",
        severity=burn.severity,
        summary=f"The budget of {promise.name} burns {burn.rate:g} times as fast as it lasts.",
        description=f"Promised: {promise.says}. It burns {{{{ $value | humanize }}}} times as fast as the budget "
        f"lasts, which uses {burn.uses}. Find the route on the dashboard Service, and what changed there.",
        hold=burn.hold,
        labels={"window": burn.long},
    )
