"""The report as Markdown, for the summary of a CI job: the verdict and its reasons first, then a line a check."""

from __future__ import annotations

from bentos.job_summary import table
from validation.gate.report import CheckResult, GateReport
from validation.gate.wording import NOT_PASSED, by_severity, consequence_of, interval, measured, with_unit

_HEADING = ("status", "check", "value", "95 % interval", "must be", "champion")


def to_markdown(report: GateReport) -> str:
    """The report as a section of Markdown; the same report gives the same text."""
    against = f"against {report.champion}" if report.champion else "with no champion to compare it with"
    data = "synthetic rows" if report.is_synthetic else "rows"
    wrong = [check for check in by_severity(report) if check.status in NOT_PASSED]
    rest = [check for check in report.checks if check.status not in NOT_PASSED]
    parts = [
        f"## Gate: {report.verdict}, {report.candidate}",
        f"{consequence_of(report)[0].upper()}{consequence_of(report)[1:]}. Judged {against} by the policy "
        f"`{report.judged_by.policy}`, on {report.judged_on.n:,} held-out {data}.",
        "\n".join(f"- {' '.join(reason.split())}" for reason in report.reasons),
    ]
    if wrong:
        parts.append(table(_HEADING, [_row(check) for check in wrong]))
    if rest:
        passed = table(_HEADING, [_row(check) for check in rest])
        parts.append(f"<details><summary>{len(rest)} checks that hold</summary>\n\n{passed}\n\n</details>")
    return "\n\n".join(part for part in parts if part)


def _row(check: CheckResult) -> tuple[str, ...]:
    value, champion, unit = measured(check)
    status = check.status.replace("NOT_APPLICABLE", "N/A")
    words = (with_unit(value, unit), interval(check.low, check.high), check.allowed, with_unit(champion, unit))
    return (status, f"`{check.name}`", *(word or "-" for word in words))
