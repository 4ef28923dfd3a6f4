"""The report on a terminal: what failed on top, one line a check, then the verdict with its reasons."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from validation.gate.checks.kinds import FAMILY_OF
from validation.gate.report import WORST_FIRST, CheckResult, GateReport, Status, Verdict

_FEW = 12
"""Checks up to which no headings are needed."""

# Every status is written out as well: colour only helps to find it.
_STYLES: dict[Status, str] = {
    "ERROR": "bold red",
    "FAIL": "bold red",
    "INCONCLUSIVE": "yellow",
    "PASS": "green",
    "NOT_APPLICABLE": "dim",
}
_CONSEQUENCES: dict[Verdict, str] = {
    "PASS": "not blessed",
    "FAIL": "not blessed",
    "INCONCLUSIVE": "not blessed: the holdout does not decide it",
    "ERROR": "not blessed: what cannot be judged is no pass",
}


def render(report: GateReport) -> RenderableType:
    """Draw a report, legible at 80 columns and without colour."""
    return Group(_heading(report), _table(report), _verdict(report), _reasons(report), _closing(report))


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


def _table(report: GateReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("Status", no_wrap=True)
    table.add_column("Check", overflow="fold", min_width=16)  # the one column that gives way to a narrow terminal
    for heading in ("Value", "Interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Must be", no_wrap=True)
    table.add_column("Champion", justify="right", no_wrap=True)
    for heading, checks in _sections(report):
        if heading:
            table.add_row("", Text(heading, style="dim italic"))
        for check in checks:
            table.add_row(
                Text(check.status.replace("NOT_APPLICABLE", "N/A"), style=_STYLES[check.status]),
                Text(check.name),
                _number(check.value),
                _interval(check),
                _shortened(check.allowed),
                _number(check.champion),
            )
    return table


def _sections(report: GateReport) -> Iterator[tuple[str, list[CheckResult]]]:
    """What is not a pass on top, the worst first; then what passed, by what it is about, where there are many."""
    by_severity = sorted(report.checks, key=lambda check: WORST_FIRST.index(check.status))
    if len(report.checks) <= _FEW:
        yield "", by_severity
        return
    wrong = [check for check in by_severity if check.status not in ("PASS", "NOT_APPLICABLE")]
    if wrong:
        yield "not passed", wrong
    for family in dict.fromkeys(FAMILY_OF.values()):
        members = [c for c in report.checks if c not in wrong and FAMILY_OF.get(c.kind) == family]
        if members:
            yield family, members


def _verdict(report: GateReport) -> Text:
    text = Text("\n")
    text.append(report.verdict, style=_STYLES[report.verdict])
    return text.append(f"  {_consequence(report)}")


def _consequence(report: GateReport) -> str:
    if report.blessing is None:
        return _CONSEQUENCES[report.verdict]
    until = f"{report.blessing.expires_at:%Y-%m-%d}"
    if report.blessing.scope == "shadow":
        return f"blessed until {until} for the shadow alone: live customers decide {', '.join(report.blessing.awaits)}"
    return f"blessed until {until}, " + ("champion as before" if report.is_renewal else "and challenger now")


def _reasons(report: GateReport) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0))
    for reason in report.reasons:
        grid.add_row(" -", Text(reason))
    return grid


def _closing(report: GateReport) -> Text:
    where = f"; report: {report.report_path}" if isinstance(report.report_path, str) else ""
    return Text(f"{report.seconds:.1f} s, exit code {report.exit_code}{where}", overflow="fold")


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.00005 else f"{value:.0e}"


def _shortened(allowed: str) -> str:
    for words, sign in (("at least", ">="), ("at most", "<="), ("below", "<"), ("above", ">")):
        allowed = allowed.replace(words, sign)
    return allowed


def _interval(check: CheckResult) -> str:
    return "-" if check.low is None or check.high is None else f"{check.low:.4f} to {check.high:.4f}"
