"""What the page Customer says, as parts of a page: values in, components out."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from bentos.artifact import Contract
from service.console.customer.asking import Answer, Explained, Reason, Start
from service.console.customer.changes import Outlook, say_change
from service.console.customer.reading import LastPrediction
from service.console.parts import notice, tile, tiles
from service.micros import from_micros


def say_last(last: LastPrediction) -> str:
    """What was answered when a customer was last asked."""
    said = [
        f"{name} {probability:.1%}"
        for name, probability in (("champion", last.champion_probability), ("challenger", last.challenger_probability))
        if probability is not None
    ]
    withheld = " Actions are withheld from this customer." if last.no_treatment else ""
    return (
        f"Last asked {from_micros(last.at):%Y-%m-%d %H:%M} UTC in mode {last.mode}: {', '.join(said)}; "
        f"the {last.variant} answered.{withheld}"
    )


def say_recorded(answer: Answer) -> str:
    """What was answered and recorded as live."""
    withheld = " Actions are withheld from this customer." if answer.no_treatment else ""
    return (
        f"Recorded as the live prediction {answer.prediction_id}: {answer.probability:.1%}, risk {answer.risk}; the "
        f"{answer.variant} answered.{withheld}"
    )


def show_answer(answer: Answer, contract: Contract, start: Start | None, moved: Sequence[str]) -> Component:
    """An answer, and what changing features did to it.

    Args:
        answer: As the row stands now.
        contract: Gives the labels.
        start: What was explained last; None for nothing yet.
        moved: The features that differ from it.
    """
    change = ""
    if start is not None and moved:
        force = say_force(answer.probability - start.probability, is_share=True)
        change = f"{force} after changing {', '.join(moved)}"
    found = tiles(
        [
            tile(
                f"{contract.target} = {contract.labels.positive}", f"{answer.probability:.1%}", change or "as it stands"
            ),
            tile("Risk", answer.risk, f"answer: {answer.label}"),
            tile("Answered by", answer.variant, str(answer.model)),
        ]
    )
    if start is None or not start.why_not_both:
        return found
    return html.Div([found, notice(f"The other model's answer is not known. {start.why_not_both}")])


def show_stale(moved: Sequence[str]) -> Component:
    """That reasons and offers on the page are of the customer before something was changed.

    Args:
        moved: The features that differ; none where the form cannot be read.
    """
    before = f"before {', '.join(moved)} changed" if moved else "before the form became what cannot be scored"
    return notice(
        f"What follows is of the customer {before}. “Explain this customer” takes what stands in the form now."
    )


def show_reasons(explained: Explained) -> Component:
    """The answer in plain words, and the force of each reason."""
    found = explained.explanation
    largest = max((abs(reason.contribution) for reason in found.reasons), default=0.0) or 1.0
    counting = [reason for reason in found.reasons if reason.is_read and reason.contribution]
    items = [_force(reason, largest, is_share=found.space == "probability") for reason in counting]
    return html.Section(
        [html.H2("In plain words"), html.P(found.plain), html.Ul(items, className="reasons")], className="card"
    )


def _force(reason: Reason, largest: float, *, is_share: bool) -> Component:
    """One reason with a bar as long as its force."""
    size = abs(reason.contribution) / largest
    tags = [
        html.Span(tag, className="tag")
        for tag, holds in (
            ("protected: no ground to treat anybody differently", reason.is_protected),
            ("can be changed", reason.is_actionable),
        )
        if holds
    ]
    kind = "raises" if reason.contribution > 0 else "lowers"
    bar = html.Span(className=kind, style={"width": f"{100 * size:.1f}%"})
    said = html.Span(say_force(reason.contribution, is_share=is_share), className="n")
    return html.Li([html.Span([reason.phrase, *tags]), html.Span(bar, className="force"), said])


def say_force(contribution: float, *, is_share: bool) -> str:
    """What a feature adds, in percentage points or in log-odds.

    Examples:
        >>> say_force(0.118, is_share=True), say_force(-0.0001, is_share=True), say_force(-0.5, is_share=False)
        ('+11.8 points', '0.0 points', '-0.50')
    """
    said = f"{100 * contribution:z.1f} points" if is_share else f"{contribution:z.2f}"
    return said if said.startswith(("-", "0.0 ", "0.00")) else f"+{said}"


def show_nearest(found: Outlook | None, contract: Contract, answer: Answer) -> Component:
    """The nearest change, in words."""
    if found is None:
        return html.P("No change that the contract allows would lower this probability.")
    lower = "" if found.risk == answer.risk else f", risk {found.risk} instead of {answer.risk}"
    steps = [
        html.Li([html.Strong(say_change(contract.feature(change.feature), change)), f": {change.words}"])
        for change in found.changes
    ]
    return html.Div(
        [
            html.P(f"From {answer.probability:.1%} to {found.probability:.1%}{lower}:"),
            html.Ul(steps),
            html.P(
                "Tried was every change that the contract names as actionable, and every pair of them. It is the "
                "model's arithmetic, and no promise of what the customer would do.",
                className="soft",
            ),
        ]
    )
