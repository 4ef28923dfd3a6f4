"""The report on a terminal: what did not pass on top, a line a check, then the verdict with its reasons.

Many checks that passed are summed up, a line for what they are about; `verbose` shows each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from validation.gate.checks.kinds import FAMILY_OF
from validation.gate.report import CheckResult, GateReport, Part, Status
from validation.gate.wording import NOT_PASSED, by_severity, consequence_of, interval, measured, number, with_unit

_FEW = 12
"""Checks up to which each has a line and no headings are needed."""

_PARTS = 5
"""Parts that are named of a check that did not pass."""

_LOOKED_FOR = ("performance", "non_inferiority")
"""Kinds whose numbers are shown even where they are summed up."""

# Every status is written out as well: colour only helps to find it.
_STYLES: dict[Status, str] = {
    "ERROR": "bold red",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "PASS": "green",
    "NOT_APPLICABLE": "dim",
}


def render(report: GateReport, *, verbose: bool = False) -> RenderableType:
    """Draw a report, legible at 80 columns and without colour.

    Args:
        report: What is drawn.
        verbose: Whether every check has its line, however many passed.
    """
    wrong = [check for check in by_severity(report) if check.status in NOT_PASSED]
    if verbose or len(report.checks) <= _FEW:
        body: list[RenderableType] = [_table(_sections(report, wrong))]
    else:
        body = [_table([("", wrong)])] if wrong else []
        body += [Text(), _summed_up(report)] if wrong else [_summed_up(report)]
    return Group(_heading(report), *body, _verdict(report), _reasons(report), _closing(report))


def next_commands(report: GateReport) -> tuple[str, ...]:
    """What to run now, without the program's name; nothing where nothing was blessed."""
    if report.blessing is None:
        return ()
    model = f"models:/{report.candidate.name}/{report.candidate.version}"
    if report.is_renewal:
        return ("package",)
    if report.champion is None:
        return (f"promote --bootstrap {model}",)
    # By number: a model that is blessed for the shadow alone has no alias.
    return (f"package --challenger {model}", "serve", f"experiment shadow {model}")


def _heading(report: GateReport) -> Text:
    alone = "the reigning champion, judged anew" if report.is_renewal else "first model: there is no champion"
    champion = f"against the champion, {report.champion}" if report.champion else alone
    data = "SYNTHETIC holdout" if report.is_synthetic else "holdout"
    if report.judged_on.attempts > 1:
        data += f"; attempt {report.judged_on.attempts} on this holdout"
    return Text(
        f"Gate of {report.candidate}, {champion}\n"
        f"Policy {report.judged_by.policy}, seed {report.judged_by.seed}; {report.judged_on.n:,} rows of {data}\n"
    )


def _table(sections: Sequence[tuple[str, list[CheckResult]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("Status", no_wrap=True)
    table.add_column("Check", overflow="fold", min_width=16)  # the one column that gives way to a narrow terminal
    for heading in ("Value", "Interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Must be", no_wrap=True)
    table.add_column("Champion", justify="right", no_wrap=True)
    for heading, checks in sections:
        if heading:
            table.add_row("", Text(heading, style="dim italic"))
        for check in checks:
            _add_check(table, check)
    return table


def _add_check(table: Table, check: CheckResult) -> None:
    """A line for a check, and one for each of the parts that made it fail."""
    value, champion, unit = measured(check)
    table.add_row(
        Text(check.status.replace("NOT_APPLICABLE", "N/A"), style=_STYLES[check.status]),
        Text(check.name),
        with_unit(value, unit) or "-",
        interval(check.low, check.high) or "-",
        _shortened(check.allowed),
        with_unit(champion, unit) or "-",
    )
    failed = [part for part in check.parts if part.status == "FAIL"] if check.status in NOT_PASSED else []
    for part in failed[:_PARTS]:
        table.add_row("", Text(f"  {part.name}"), *_numbers(part))
    if len(failed) > _PARTS:
        table.add_row("", Text(f"  and {len(failed) - _PARTS} more"))


def _numbers(part: Part) -> tuple[str, ...]:
    return number(part.value) or "-", interval(part.low, part.high) or "-", "", number(part.champion) or "-"


def _sections(report: GateReport, wrong: list[CheckResult]) -> list[tuple[str, list[CheckResult]]]:
    """What is not a pass on top, the worst first; then what passed, by what it is about, where there are many."""
    if len(report.checks) <= _FEW:
        return [("", by_severity(report))]
    found = [("not passed", wrong)] if wrong else []
    return found + list(_families([check for check in report.checks if check.status not in NOT_PASSED]))


def _families(checks: Sequence[CheckResult]) -> Iterator[tuple[str, list[CheckResult]]]:
    for family in [*dict.fromkeys(FAMILY_OF.values()), ""]:
        members = [check for check in checks if FAMILY_OF.get(check.kind, "") == family]
        if members:
            yield family or "others", members


def _summed_up(report: GateReport) -> Table:
    """What passed: for each of what checks are about how many, and which."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("Passed", no_wrap=True)
    table.add_column("", justify="right", no_wrap=True)
    table.add_column(Text("--verbose shows all numbers", style="dim not bold"), overflow="fold")
    for family, members in _families([check for check in report.checks if check.status == "PASS"]):
        table.add_row(family, str(len(members)), Text(", ".join(_names(members))))
    return table


def _names(checks: Sequence[CheckResult]) -> Iterator[str]:
    """Names of checks, those with one beginning together."""
    for beginning, group in groupby(checks, key=lambda check: check.name.partition("[")[0]):
        members = list(group)
        endings = "; ".join(filter(None, (_ending(check) for check in members)))
        has_brackets = "[" in members[0].name
        yield f"{beginning}[{endings}]" if has_brackets else f"{beginning} {endings}".strip()


def _ending(check: CheckResult) -> str:
    """What stands in a name's brackets, the worst slice, and the number where one looks for it first."""
    words = [check.name.partition("[")[2].removesuffix("]")]
    if FAMILY_OF.get(check.kind) == "slices" and check.parts:
        doubtful = int(check.details.get("doubtful", 0))
        looks = f"; {doubtful} look bad, none beyond chance" if doubtful else ""
        words.append(f"(worst: {check.parts[0].name} {number(check.parts[0].value)}{looks})")
    if check.kind in _LOOKED_FOR:
        words.append(number(check.value))
    return " ".join(filter(None, words))


def _verdict(report: GateReport) -> Text:
    text = Text("\n")
    text.append(report.verdict, style=_STYLES[report.verdict])
    return text.append(f"  {consequence_of(report)}")


def _reasons(report: GateReport) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for reason in report.reasons:
        grid.add_row(" -", Text(reason))
    if isinstance(report.lost, str):
        grid.add_row(" -", Text(f"ERROR: could not be drawn or kept: {report.lost}", style="bold red"))
    return grid


def _closing(report: GateReport) -> Text:
    path = report.page_path if isinstance(report.page_path, str) else report.report_path
    where = f"; report: {path}" if isinstance(path, str) else ""
    return Text(f"{report.seconds:.1f} s, exit code {report.exit_code}{where}", overflow="fold")


def _shortened(allowed: str) -> str:
    for words, sign in (("at least", ">="), ("at most", "<="), ("below", "<"), ("above", ">")):
        allowed = allowed.replace(words, sign)
    return allowed
