"""A look at a champion as Markdown for an issue: what is bad first, then pictures that the forge draws (Mermaid)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import UTC

from bentos.job_summary import table
from service.micros import from_micros
from validation.monitoring.findings import Finding, Watched

_LEVELS = {"bad": "**look at it**", "good": "good", "unknown": "not known"}
_WORST_FIRST = ("bad", "unknown", "good")
_FEATURES = 12
"""How many of the features that moved most have a bar."""

_HEADINGS = {
    "bad": "needs somebody",
    "good": "is well",
    "unknown": "cannot be told yet",
}


def to_markdown(watched: Watched, *, runbooks: str | None = None) -> str:
    """A look as a section of Markdown.

    Args:
        watched: What was seen.
        runbooks: Where the runbooks lie; None: `GAUNTLET_RUNBOOKS`, else this repository's own folder.
    """
    where = runbooks or os.environ.get("GAUNTLET_RUNBOOKS") or "grafana/runbooks"
    found = sorted(watched.findings, key=lambda finding: _WORST_FIRST.index(finding.level))
    parts = [
        f"## {watched.model} {_HEADINGS[watched.level]}",
        f"Champion `{watched.digest}`, looked at {watched.looked_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC.",
        table(("looked at", "came out", "seen", "what to do"), [_row(finding, where) for finding in found]),
        *_drift_picture(watched),
        *_accuracy_picture(watched),
    ]
    return "\n\n".join(parts)


def _row(finding: Finding, runbooks: str) -> tuple[str, ...]:
    link = f"[{finding.runbook}]({runbooks}/{finding.runbook}.md)" if finding.runbook else ""
    return finding.name, _LEVELS[finding.level], finding.said, link


def _drift_picture(watched: Watched) -> Iterator[str]:
    """PSI of the features that moved most, and of the score, beside what matters."""
    if watched.drift is None:
        return
    known = [one for one in (watched.drift.score, *watched.drift.features[:_FEATURES]) if one.psi is not None]
    if not known:
        return
    limits = [round(one.psi_limit or 0.0, 4) for one in known]
    yield _chart(
        f"Drift of {watched.drift.rows:,} live customers in a week: PSI (bars) and its limit (line)",
        [one.name for one in known],
        "PSI",
        (0.0, 1.1 * max([one.psi or 0.0 for one in known] + limits)),
        ("bar", [round(one.psi or 0.0, 4) for one in known]),
        ("line", limits),
    )


def _accuracy_picture(watched: Watched) -> Iterator[str]:
    """Share of right answers by the week in which truths matured, beside the lower end of what the blessing found."""
    weeks = [week for week in watched.truths.weeks if week[1]]
    if not weeks:
        return
    shares = [round(right / told, 4) for _, told, right in weeks]
    lines = [("bar", shares)]
    if watched.promised is not None:
        lines.append(("line", [round(watched.promised[0], 4)] * len(weeks)))
    yield _chart(
        f"Accuracy by week of {watched.truths.told:,} customers (bars) and the least that its blessing found (line)",
        [f"{from_micros(begin):%m-%d}" for begin, _, _ in weeks],
        "accuracy",
        (0.0, 1.0),
        *lines,
    )


def _chart(
    title: str, names: Sequence[str], unit: str, span: tuple[float, float], *series: tuple[str, Sequence[float]]
) -> str:
    quoted = ", ".join(f'"{name.replace(chr(34), "")}"' for name in names)
    return "\n".join([
        "```mermaid",
        "xychart-beta",
        f'  title "{title}"',
        f"  x-axis [{quoted}]",
        f'  y-axis "{unit}" {span[0]:g} --> {max(span[1], 0.01):g}',
        *(f"  {kind} [{', '.join(f'{value:g}' for value in values)}]" for kind, values in series),
        "```",
    ])  # fmt: skip
