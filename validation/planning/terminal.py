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
    for heading, justify in zip(HEADING, ("left", "right", "right"), strict=True):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for cells in rows_of(plan):
        table.add_row(*cells)
    return table


HEADING = ("", "matured customers", "days")


def rows_of(plan: Plan) -> list[tuple[str, str, str]]:
    """When what is decided: what it is, customers, days."""
    rows = [
        (f"{timing.share:.0%} of trials are decided by", _count(timing.customers), _count(timing.days))
        for timing in plan.timings
    ]
    rows.append(("a test that is looked at once needs", _count(plan.fixed.customers), _count(plan.fixed.days)))
    for group in plan.groups:
        members = "" if group.members is None else f", {group.members:,} of it"
        name = f"{group.name} is no worse by {group.margin:g}{members}"
        rows.append((name, _count(group.customers), _count(group.days)))
    return rows


def _notes(plan: Plan) -> list[Text]:
    return [Text("\n" + "\n".join(notes_of(plan)))]


def notes_of(plan: Plan) -> list[str]:
    """What was asked, and what it means, in sentences."""
    question = plan.question
    metric = "accuracy" if question.false_positive_cost is None else "profit"
    lines = [
        f"True difference {question.effect:+g} in {metric}, margin {question.margin:g}; the models disagree on "
        f"{question.disagreement:.0%} of customers. Level {_level(plan)}.",
        f"{plan.available:,} customers can have matured by day {question.horizon_days:g}; {plan.right:.0%} of trials "
        f"are decided rightly by then, {plan.wrong:.1%} wrongly.",
    ]
    if question.coverage < 1:
        lines.append(
            f"{1 - question.coverage:.0%} of outcomes never come, and a decision must hold whatever they are: that "
            "takes long. `gauntlet disagreements` says whose truths to chase."
        )
    return lines


def _level(plan: Plan) -> str:
    """Of the decision; a test that is looked at once is counted with the whole of alpha, as it is commonly used."""
    question = plan.question
    if plan.decision == "ROLLBACK":
        rules = f", {question.alpha_rollback:g} over {question.harm_rules} rules" if question.harm_rules > 1 else ""
        return f"{question.harm_level:.3g}{rules}"
    return f"{plan.level:.3g}, what alpha {question.alpha:g} leaves trial {question.trial} of its lineage"


def _count(number: int | None) -> str:
    return "never" if number is None else f"{number:,}"
