"""The report as JUnit XML: one test case a check, so that CI shows what failed and why.

A FAIL is a failure, what could not be judged an error. INCONCLUSIVE is a failure of its own type, as it must not pass
for a success; a check that does not apply to a first model is skipped.
"""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from validation.gate.report import CheckResult, GateReport, Part
from validation.gate.wording import interval, number

_OUTCOMES = {
    "FAIL": ("failure", "fail"),
    "INCONCLUSIVE": ("failure", "inconclusive"),
    "ERROR": ("error", "error"),
    "NOT_APPLICABLE": ("skipped", ""),
}


def to_junit(report: GateReport) -> bytes:
    """The report as the bytes of a JUnit XML file; the same report gives the same bytes."""
    statuses = [check.status for check in report.checks]
    suite = Xml.Element(
        "testsuite",
        name=f"gate of {report.candidate}",
        tests=str(len(statuses)),
        failures=str(sum(status in ("FAIL", "INCONCLUSIVE") for status in statuses)),
        errors=str(statuses.count("ERROR")),
        skipped=str(statuses.count("NOT_APPLICABLE")),
        time=f"{report.seconds:.3f}",
        timestamp=report.judged_at.isoformat(),
    )
    properties = Xml.SubElement(suite, "properties")
    for name, value in _properties(report):
        Xml.SubElement(properties, "property", name=name, value=value)
    for check in report.checks:
        _add_case(suite, check)
    whole = Xml.Element("testsuites", name="gauntlet gate")
    whole.append(suite)
    Xml.indent(whole)
    return b'<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(whole) + b"\n"


def _properties(report: GateReport) -> list[tuple[str, str]]:
    found = [
        ("verdict", report.verdict),
        ("candidate", report.candidate.digest),
        ("policy", f"{report.judged_by.policy} {report.judged_by.policy_digest}"),
        ("holdout", report.judged_on.holdout),
        ("seed", str(report.judged_by.seed)),
    ]
    return found + ([("champion", report.champion.digest)] if report.champion else [])


def _add_case(suite: Xml.Element, check: CheckResult) -> None:
    case = Xml.SubElement(suite, "testcase", classname=f"gate.{check.kind or 'check'}", name=_clean(check.name))
    if check.status in _OUTCOMES:
        tag, kind = _OUTCOMES[check.status]
        outcome = Xml.SubElement(case, tag, message=_clean(check.reason))
        if kind:
            outcome.set("type", kind)
        parts = [part for part in check.parts if part.status == "FAIL"]
        outcome.text = "\n".join(_clean(_line(part)) for part in parts) or None
    else:
        Xml.SubElement(case, "system-out").text = _clean(check.reason)


def _line(part: Part) -> str:
    span = interval(part.low, part.high)
    return f"{part.name}: {number(part.value)}" + (f" ({span})" if span else "")


def _clean(text: str) -> str:
    """XML knows no control characters, not even escaped ones."""
    return "".join(c if c >= " " or c in "\t\n" else "?" for c in text)
