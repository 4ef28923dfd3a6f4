"""The plan as text: the answer first, then the numbers."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from validation.planning.plan import Plan


def render(plan: Plan) -> RenderableType:
    """Draw a plan, legible at 80 columns and without colour."""
    return Group(_answer(plan), _table(plan), *(_notes(plan)))


def _answer(plan: Plan) -> Text:
    text = Text()
    text.append("Yes" if plan.can_be_had else "No", style="bold green" if plan.can_be_had else "bold red")
    return text.append(f": {plan.reason}.\n")


def _table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading, justify in (("", "left"), ("matured customers", "right"), ("days", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for timing in plan.timings:
        table.add_row(f"{timing.share:.0%} of trials are decided by", _count(timing.customers), _count(timing.days))
    table.add_row("a test that is looked at once needs", _count(plan.fixed), "")
    for group in plan.groups:
        table.add_row(f"{group.name}, margin {group.margin:g}", _count(group.customers), _count(group.days))
    return table


def _notes(plan: Plan) -> list[Text]:
    question = plan.question
    metric = "accuracy" if question.false_positive_cost is None else "profit"
    lines = [
        f"\nTrue difference {question.effect:+g} in {metric}, margin {question.margin:g}, one-sided alpha "
        f"{question.alpha:g}; the models disagree on {question.disagreement:.0%} of customers.",
        f"{plan.available:,} customers can have matured by day {question.horizon_days:g}; {plan.right:.0%} of trials "
        f"are decided rightly by then, {plan.wrong:.1%} wrongly.",
    ]
    if question.coverage < 1:
        lines.append(
            f"{1 - question.coverage:.0%} of outcomes never come, and a decision must hold whatever they are: that "
            "takes long. `gauntlet disagreements` says whose truths to chase."
        )
    return [Text("\n".join(lines))]


def _count(number: int | None) -> str:
    return "never" if number is None else f"{number:,}"
