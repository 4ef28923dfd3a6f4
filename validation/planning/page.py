"""The plan as a page: days to a decision against what is true."""

from __future__ import annotations

from html import escape

import msgspec
import numpy as np

from validation.pages import BOUND, CANDIDATE, Figure, Trace, layout_of, line, numbers, picture, whole_page
from validation.planning.plan import Plan, make_plan
from validation.planning.terminal import HEADING, notes_of, rows_of

_POINTS, _RUNS = 17, 500


def to_html(plan: Plan, *, seed: int = 0) -> bytes:
    """The plan as the bytes of an HTML file, with the same plan made for other true differences beside it."""
    figure = _figure(plan, seed)
    yes = "Yes" if plan.can_be_had else "No"
    body = (
        f'<header><p class="over">Plan of a trial</p><h1>How long it takes to decide</h1>'
        f'<p class="verdict {"pass" if plan.can_be_had else "fail"}"><strong>{yes}</strong> {escape(plan.reason)}.</p>'
        f"</header>\n{numbers(HEADING, rows_of(plan))}\n"
        f"{''.join(f'<p>{escape(note)}</p>' for note in notes_of(plan))}\n"
        f'<div class="pictures">{picture(figure)}</div>\n'
    )
    return whole_page("Plan of a trial", body, [figure])


def _figure(plan: Plan, seed: int) -> Figure:
    question = plan.question
    reach = min(0.98 * question.dearest, max(3 * abs(question.effect + question.margin), 0.03))
    steps = np.linspace(-1, 1, _POINTS)
    effects = -question.margin + reach * np.sign(steps) * np.abs(steps) ** 1.7  # closer where days rise
    kept = [float(e) for e in effects if abs(e) < 0.99 * question.dearest and abs(e + question.margin) > reach / 50]
    plans = [
        make_plan(msgspec.structs.replace(question, effect=effect, groups=()), seed=seed, runs=_RUNS) for effect in kept
    ]
    traces: list[Trace] = []
    for place, dash in ((0, "solid"), (1, "dash"), (2, "dot")):
        days = [one.timings[place].days for one in plans]
        below = sum(effect < -question.margin for effect in kept)  # the line breaks where nothing decides
        broken_at, broken = [*kept[:below], -question.margin, *kept[below:]], [*days[:below], None, *days[below:]]
        traces.append(line(broken_at, broken, f"{plans[0].timings[place].share:.0%} of trials", CANDIDATE, dash))
    ends = [min(kept), max(kept)]
    horizon = line(ends, [question.horizon_days] * 2, "horizon", "#9ca3af", "dot", markers=False)
    longest = max([question.horizon_days, *(t.days or 0 for one in plans for t in one.timings)])
    margin = line([-question.margin] * 2, [0, longest], "margin", BOUND, "dot", markers=False)
    here = {
        **line([question.effect], [plan.timings[1].days], "as asked", BOUND, "solid"),
        "mode": "markers",
        "marker": {"color": BOUND, "size": 13, "symbol": "diamond"},
    }
    rows = [
        (f"{effect:+.4f}", one.decision or "", *("" if t.days is None else f"{t.days:,}" for t in one.timings))
        for effect, one in zip(kept, plans, strict=True)
    ]
    return Figure(
        "days",
        "Days by what is true",
        "Left of the margin the right decision is a rollback, right of it a promotion; near it nothing decides.",
        [*traces, horizon, margin, here],
        layout_of(440, "true difference", "days to the decision"),
        (("difference", "decision", "50 %", "80 %", "95 %"), rows),
    )
