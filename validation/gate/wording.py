"""What the page and the terminal both say of a report, in the same words."""

from __future__ import annotations

from validation.gate.report import WORST_FIRST, CheckResult, GateReport

NOT_PASSED = ("ERROR", "FAIL", "INCONCLUSIVE")

_NOT_BLESSED = {
    "FAIL": "not blessed",
    "INCONCLUSIVE": "not blessed: the holdout does not decide it",
    "ERROR": "not blessed: what cannot be judged is no pass",
    "PASS": "not blessed",
}


def consequence_of(report: GateReport) -> str:
    """What follows from the verdict, as a clause."""
    blessing = report.blessing
    if blessing is None:
        return _NOT_BLESSED[report.verdict]
    until = f"{blessing.expires_at:%Y-%m-%d}"
    if blessing.scope == "shadow":
        return f"blessed until {until} for the shadow alone: live customers decide {', '.join(blessing.awaits)}"
    return f"blessed until {until}, " + ("champion as before" if report.is_renewal else "and made challenger")


def last_words_of(report: GateReport) -> str:
    """The report in one line, for whoever sees no more: the verdict, of whom, and the first reason."""
    passed = sum(check.status == "PASS" for check in report.checks)
    first = next(iter(report.reasons), "")
    why = f"{passed} of {len(report.checks)} checks passed" if report.verdict == "PASS" else first
    model = f"{report.candidate.name} version {report.candidate.version}"
    return f"{report.verdict} {model}, {consequence_of(report)}: {why}"


def by_severity(report: GateReport) -> list[CheckResult]:
    """All checks, the worst first, else in the policy's order."""
    return sorted(report.checks, key=lambda check: WORST_FIRST.index(check.status))


def number(value: float | None) -> str:
    """Four decimals, and no zero that is none; nothing where there is nothing."""
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.00005 else f"{value:.0e}"


def interval(low: float | None, high: float | None) -> str:
    """Both ends; nothing where there is none."""
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def measured(check: CheckResult) -> tuple[float | None, float | None, str]:
    """What a check holds against its bound, for the candidate and for the champion, and the unit where it has one.

    What a clock said is no number that a seed decides, so it stands in details; there it is looked for.
    """
    if check.value is None and "p99_us" in check.details:
        return check.details["p99_us"], check.details.get("champion_p99_us"), "us"
    return check.value, check.champion, "MB" if check.allowed.endswith(" MB") else ""


def with_unit(value: float | None, unit: str) -> str:
    """A number as it is shown, with its unit."""
    if value is None or not unit:
        return number(value)
    return f"{value:,.0f} {unit}" if unit == "us" else f"{value:.2f} {unit}"
