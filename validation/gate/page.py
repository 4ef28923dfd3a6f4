"""The report as one HTML file: the verdict, what did not pass and why, pictures, every check, and what judged what.

Whatever comes from users (names of models, features, categories) is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from validation.gate.answer_figures import all_metrics
from validation.gate.checks.kinds import FAMILY_OF
from validation.gate.figures import figures_of
from validation.gate.report import CheckResult, GateReport
from validation.gate.strips import strip
from validation.gate.wording import NOT_PASSED, by_severity, consequence_of, interval, measured, with_unit
from validation.pages import Figure, numbers, picture, whole_page

_KEY = (
    '<p><span class="key candidate"></span> candidate with its interval, <span class="key champion"></span> champion, '
    '<span class="key bound"></span>bound; the side where it must be is shaded. Each strip has a scale of its own.</p>'
)


def to_html(report: GateReport) -> bytes:
    """The report as the bytes of an HTML file; the same report gives the same bytes."""
    figures = figures_of(report)
    body = "".join(
        [
            _head(report, figures),
            _not_passed(report),
            _pictures(report, figures),
            _all_checks(report),
            _identity(report),
        ]
    )
    return whole_page(f"Gate of {report.candidate}: {report.verdict}", body, figures)


def summary_of(report: GateReport) -> str:
    """Who was judged on what, beside whom and when, in two sentences."""
    alone = "the reigning champion, judged anew" if report.is_renewal else "a first model, without a champion beside it"
    champion = f"beside the champion, {report.champion}" if report.champion else alone
    data = "synthetic rows" if report.is_synthetic else "rows"
    often = f", attempt {report.judged_on.attempts} on them" if report.judged_on.attempts > 1 else ""
    passed = sum(check.status == "PASS" for check in report.checks)
    when = f"{report.judged_at:%Y-%m-%d %H:%M} UTC in {report.seconds:.1f} s"
    return (
        f"{passed} of {len(report.checks)} checks passed by the policy {report.judged_by.policy}, on "
        f"{report.judged_on.n:,} held-out {data}{often}; {champion}. Judged {when}."
    )


def _head(report: GateReport, figures: Sequence[Figure]) -> str:
    consequence = consequence_of(report)
    return (
        f'<header><p class="over">Gate</p><h1>{escape(str(report.candidate))}</h1>'
        f'<p class="verdict {report.verdict.lower()}"><strong>{report.verdict}</strong> '
        f"{escape(consequence[0].upper() + consequence[1:])}.</p>"
        f"<p>{escape(summary_of(report))}</p>"
        f"{_contents(report, figures)}</header>\n"
    )


def _contents(report: GateReport, figures: Sequence[Figure]) -> str:
    links = [("wrong", "Not passed")] if any(check.status in NOT_PASSED for check in report.checks) else []
    links += [(_anchor(about), about) for about in dict.fromkeys(figure.about for figure in figures)]
    links += [("all", "All checks"), ("what", "Identity")]
    items = "".join(f'<a href="#{target}">{escape(name)}</a>' for target, name in links)
    return f'<nav aria-label="Contents">{items}</nav>'


def _not_passed(report: GateReport) -> str:
    wrong = [check for check in by_severity(report) if check.status in NOT_PASSED]
    if not wrong:
        return ""
    return (
        '<section aria-labelledby="wrong"><h2 id="wrong">Not passed, and why</h2>'
        f"{_KEY}{_table(wrong, with_reason=True)}</section>\n"
    )


def _pictures(report: GateReport, figures: Sequence[Figure]) -> str:
    parts = []
    for about, members in groupby(figures, key=lambda figure: figure.about):
        parts.append(f'<h2 id="{_anchor(about)}">{escape(about)}</h2>')
        parts += [picture(figure) for figure in members]
        if about == "Performance":
            parts.append(_every_metric(report))
    return f'<div class="pictures">{"".join(parts)}</div>\n'


def _every_metric(report: GateReport) -> str:
    heading, rows = all_metrics(report.answers)
    if not rows:
        return ""
    return (
        f'<details class="whole"><summary>Every metric, asked for or not</summary>{numbers(heading, rows)}</details>\n'
    )


def _all_checks(report: GateReport) -> str:
    parts = ['<section aria-labelledby="all"><h2 id="all">All checks</h2>', _KEY]
    for family in [*dict.fromkeys(FAMILY_OF.values()), ""]:
        members = [check for check in report.checks if FAMILY_OF.get(check.kind, "") == family]
        if members:
            parts.append(f"<h3>{escape((family or 'others').capitalize())}</h3>{_table(members)}")
    return "".join([*parts, "</section>\n"])


def _table(checks: Sequence[CheckResult], *, with_reason: bool = False) -> str:
    """Checks as rows, each with its strip; the reason where it is asked for, or where no number says it."""
    widths = "".join(
        f'<col style="width:{width}">' for width in ("7.5rem", "auto", "10.5rem", "6rem", "9.5rem", "8rem", "6rem")
    )
    names = ("Status", "Check", "Against its bound", "Value", "Interval", "Must be", "Champion")
    head = "".join(
        f'<th scope="col"{" class=n" if name in ("Value", "Interval", "Champion") else ""}>{name}</th>'
        for name in names
    )
    rows = "".join(_row(check, with_reason or check.value is None) for check in checks)
    return (
        f'<div class="wide"><table class="checks"><colgroup>{widths}</colgroup><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(check: CheckResult, with_reason: bool) -> str:
    value, champion, unit = measured(check)
    status = check.status.replace("NOT_APPLICABLE", "N/A")
    cells = (
        f'<td><span class="status {check.status.lower()}">{status}</span></td>',
        f'<th scope="row">{escape(check.name)}</th>',
        f'<td class="drawn">{strip(check)}</td>',
        _cell("", with_unit(value, unit)),
        _cell("between", interval(check.low, check.high)),
        f"<td{_label('must be', check.allowed)}>{escape(check.allowed)}</td>",
        _cell("champion", with_unit(champion, unit)),
    )
    if not with_reason:
        return f"<tr>{''.join(cells)}</tr>"
    why = f'<tr class="why"><td></td><td colspan="{len(cells) - 1}">{escape(check.reason)}</td></tr>'
    return f'<tr class="explained">{"".join(cells)}</tr>{why}'


def _cell(what: str, content: str) -> str:
    return f'<td class="n"{_label(what, content)}>{escape(content)}</td>'


def _label(what: str, content: str) -> str:
    """What a number is, for narrow screens, where no heading stands above it."""
    return f' data-is="{what}"' if what and content else ""


def _identity(report: GateReport) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts_of(report))
    return f'<section aria-labelledby="what"><h2 id="what">What was judged by what</h2><dl>{rows}</dl></section>\n'


def facts_of(report: GateReport) -> Iterator[tuple[str, str]]:
    """What was judged by what: names and digests."""
    yield "Candidate", f"{report.candidate}, {report.candidate.digest}"
    if report.champion:
        yield "Champion", f"{report.champion}, {report.champion.digest}"
    yield "Policy", f"{report.judged_by.policy}, {report.judged_by.policy_digest}"
    yield "Data", report.judged_on.data
    yield "Holdout", f"{report.judged_on.holdout}, {report.judged_on.n:,} rows"
    yield "Attempts", f"{report.judged_on.attempts} on this holdout; the more there are, the less a pass says"
    yield "Seed", str(report.judged_by.seed)
    yield "Code", report.judged_by.code
    if report.blessing:
        yield "Blessing", f"scope {report.blessing.scope}, until {report.blessing.expires_at:%Y-%m-%d}"
        yield "Signed", "yes" if report.blessing.signature else "no"
    else:
        yield "Blessing", "none"


def _anchor(about: str) -> str:
    return f"about-{about.lower().replace(' ', '-')}"
