"""The report as one HTML file: verdict and reasons, what did not pass, pictures, every check, and what judged what.

Whatever comes from users (names of models, features, categories) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from validation.gate.checks.kinds import FAMILY_OF
from validation.gate.figures import figures_of
from validation.gate.report import WORST_FIRST, CheckResult, GateReport
from validation.pages import picture, whole_page

_CONSEQUENCES = {
    "PASS": "It may be given traffic.",
    "FAIL": "It is not blessed: something it must meet is out of reach of its interval.",
    "INCONCLUSIVE": "The holdout does not decide it.",
    "ERROR": "What cannot be judged is no pass.",
}


def to_html(report: GateReport) -> bytes:
    """The report as the bytes of an HTML file; the same report gives the same bytes."""
    figures = figures_of(report)
    body = "".join(
        [
            _head(report),
            _reasons(report),
            _not_passed(report),
            f'<div class="pictures">{"".join(picture(figure) for figure in figures)}</div>\n',
            _all_checks(report),
            _identity(report),
        ]
    )
    return whole_page(f"Gate of {report.candidate}: {report.verdict}", body, figures)


def _head(report: GateReport) -> str:
    champion = f"against the champion, {report.champion}" if report.champion else "without a champion to compare with"
    data = "synthetic rows" if report.is_synthetic else "rows"
    blessing = report.blessing
    if blessing is None:
        consequence = _CONSEQUENCES[report.verdict]
    elif blessing.scope == "shadow":
        awaited = ", ".join(blessing.awaits)
        consequence = (
            f"Blessed for the shadow alone, until {blessing.expires_at:%Y-%m-%d}: live customers decide {awaited}."
        )
    else:
        consequence = f"Blessed until {blessing.expires_at:%Y-%m-%d}. {_CONSEQUENCES['PASS']}"
    passed = sum(check.status == "PASS" for check in report.checks)
    return (
        f'<header><p class="over">Gate</p><h1>{escape(str(report.candidate))}</h1>'
        f'<p class="verdict {report.verdict.lower()}"><strong>{report.verdict}</strong> {escape(consequence)}</p>'
        f"<p>{passed} of {len(report.checks)} checks passed by the policy {escape(report.judged_by.policy)}, on "
        f"{report.judged_on.n:,} held-out {data}, {escape(champion)}; judged {report.judged_at:%Y-%m-%d %H:%M} UTC in "
        f"{report.seconds:.1f} s.</p></header>\n"
    )


def _reasons(report: GateReport) -> str:
    items = "".join(f"<li>{escape(reason)}</li>" for reason in report.reasons)
    return f'<section aria-labelledby="why"><h2 id="why">Why</h2><ul>{items}</ul></section>\n'


def _not_passed(report: GateReport) -> str:
    wrong = [check for check in _by_severity(report) if check.status in ("ERROR", "FAIL", "INCONCLUSIVE")]
    if not wrong:
        return ""
    return (
        f'<section aria-labelledby="wrong"><h2 id="wrong">Not passed</h2>{_table(wrong, with_reason=True)}</section>\n'
    )


def _all_checks(report: GateReport) -> str:
    parts = ['<section aria-labelledby="all"><h2 id="all">All checks</h2>']
    for family in [*dict.fromkeys(FAMILY_OF.values()), ""]:
        members = [check for check in report.checks if FAMILY_OF.get(check.kind, "") == family]
        if members:
            parts.append(f"<h3>{escape(family or 'others').capitalize()}</h3>{_table(members)}")
    return "".join([*parts, "</section>\n"])


def _table(checks: list[CheckResult], *, with_reason: bool = False) -> str:
    heads = ["Status", "Check", "Value", "Interval", "Must be", "Champion"]
    rows = []
    for check in checks:
        interval = "" if check.low is None or check.high is None else f"{check.low:.4f} to {check.high:.4f}"
        cells = [
            f'<td><span class="status {check.status.lower()}">{check.status.replace("_", " ")}</span></td>',
            f'<th scope="row">{escape(check.name)}</th>',
            *(f'<td class="n">{escape(cell)}</td>' for cell in (_number(check.value), interval)),
            f"<td>{escape(check.allowed)}</td>",
            f'<td class="n">{escape(_number(check.champion))}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
        if with_reason:
            rows.append(f'<tr class="why"><td></td><td colspan="5">{escape(check.reason)}</td></tr>')
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'


def _identity(report: GateReport) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in _facts(report))
    return f'<section aria-labelledby="what"><h2 id="what">What was judged by what</h2><dl>{rows}</dl></section>\n'


def _facts(report: GateReport) -> Iterator[tuple[str, str]]:
    yield "Candidate", f"{report.candidate}, {report.candidate.digest}"
    if report.champion:
        yield "Champion", f"{report.champion}, {report.champion.digest}"
    yield "Policy", f"{report.judged_by.policy}, {report.judged_by.policy_digest}"
    yield "Data", report.judged_on.data
    yield "Holdout", f"{report.judged_on.holdout}, attempt {report.judged_on.attempts} on it"
    yield "Seed", str(report.judged_by.seed)
    yield "Code", report.judged_by.code
    if report.blessing:
        yield "Blessing", f"scope {report.blessing.scope}, until {report.blessing.expires_at:%Y-%m-%d}"
        yield "Signed", "yes" if report.blessing.signature else "no"


def _by_severity(report: GateReport) -> list[CheckResult]:
    return sorted(report.checks, key=lambda check: WORST_FIRST.index(check.status))


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.00005 else f"{value:.0e}"
