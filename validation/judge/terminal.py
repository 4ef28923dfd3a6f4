"""The verdict as people read it on a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from validation.judge.evidence import Evidence
from validation.judge.groups import GroupEvidence
from validation.judge.limits import Live
from validation.judge.lineage import Lineage
from validation.judge.replay import Replayed
from validation.judge.verdict import Verdict

_STYLES = {"PROMOTE": "bold green", "ROLLBACK": "bold red", "KEEP_COLLECTING": "bold yellow", "INVALID": "bold magenta"}
_WIDTH = 100


def render(verdict: Verdict, *, color: bool = False, width: int = _WIDTH) -> str:
    """A verdict with its reasons and evidence.

    Args:
        verdict: What was found.
        color: Whether to write terminal colors.
        width: Characters a line.
    """
    console = Console(
        file=io.StringIO(), force_terminal=color, no_color=not color, width=width, highlight=False, legacy_windows=False
    )
    console.print(Text(verdict.verdict, style=_STYLES[verdict.verdict]), Text(_moment(verdict)))
    console.print(Text(_trial(verdict)))
    for reason in verdict.reasons:
        console.print(Text(f"- {reason}"))
    if verdict.evidence is not None and verdict.challenger is not None:
        console.print(_table([*_lines(verdict.evidence), *_further(verdict.lineage, verdict.live)]))
        if verdict.evidence.groups:
            console.print(_groups(verdict.evidence.groups))
    return _written(console)


def render_replays(replays: Sequence[Replayed], *, color: bool = False, width: int = _WIDTH) -> str:
    """Which stored verdicts are reached again from the ledger, and what differs in the others."""
    console = Console(
        file=io.StringIO(), force_terminal=color, no_color=not color, width=width, highlight=False, legacy_windows=False
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verdict", "reached", "experiment", "stored", "now", "floats"):
        table.add_column(name)
    for one in replays:
        floats = "differ" if one.differences else "to 1e-9" if one.inexact else "bit for bit"
        row = (str(one.number), f"{one.at:%Y-%m-%d %H:%M:%S}", one.experiment, one.stored, one.found or "-", floats)
        table.add_row(*row)
    console.print(table)
    for one in replays:
        for difference in one.differences:
            console.print(Text(f"- verdict {one.number}: {difference}"))
    agreeing = sum(one.agrees for one in replays)
    console.print(Text(f"{agreeing} of {len(replays)} stored verdicts are reached again"))
    return _written(console)


def _written(console: Console) -> str:
    written = console.file
    text = written.getvalue() if isinstance(written, io.StringIO) else ""
    return "\n".join(line.rstrip() for line in text.splitlines())


def to_json(verdict: Verdict) -> bytes:
    """A verdict for machines: all of it, with the two numbers that are asked for most on top.

    They are `matured`, and `log_e` of what was decided: of harm for ROLLBACK, of the claim otherwise.
    """
    found = verdict.evidence
    matured = found.matured if found else 0
    on_top = {"verdict": verdict.verdict, "matured": matured, "log_e": deciding_log_e(verdict)}
    return msgspec.json.format(msgspec.json.encode(on_top | msgspec.to_builtins(verdict)), indent=2)


def deciding_log_e(verdict: Verdict) -> float:
    """The log e-value of what was decided: of harm for ROLLBACK, of the claim otherwise; 0 without evidence."""
    if verdict.evidence is None:
        return 0.0
    return verdict.evidence.rollback_log_e if verdict.verdict == "ROLLBACK" else verdict.evidence.log_e


def _moment(verdict: Verdict) -> str:
    return f"provisional, as of {verdict.as_of:%Y-%m-%d %H:%M:%S %Z}" if verdict.as_of else ""


def _trial(verdict: Verdict) -> str:
    split = f" {verdict.split:.0%}" if verdict.mode == "split" else ""
    return (
        f"challenger {_short(verdict.challenger)} against champion {_short(verdict.champion)}, "
        f"{verdict.mode}{split}, revision {verdict.revision}, policy {verdict.policy}"
    )


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest.removeprefix("sha256:")[:12]


def _table(lines: Sequence[tuple[str, str]]) -> Table:
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    for name, value in lines:
        table.add_row(name, value)
    return table


def _groups(groups: Sequence[GroupEvidence]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("group", "matured", "difference", "between", "no worse", "worse", "needs about"):
        table.add_column(name)
    for group in groups:
        table.add_row(
            f"{group.attribute} {group.value}",
            str(group.matured),
            _signed(group.difference),
            f"{group.lower:+.4f} {group.upper:+.4f}",
            f"{min(group.log_e, group.log_e_worst):.2f} of {group.threshold:.2f}",
            f"{min(group.rollback_log_e, group.rollback_log_e_best):.2f} of {group.rollback_threshold:.2f}",
            "-" if group.needed is None else str(group.needed),
        )
    return table


def _further(lineage: Lineage | None, live: Live | None) -> Iterator[tuple[str, str]]:
    if lineage is not None:
        yield (
            "lineage",
            f"trial {lineage.number} of {lineage.name}, {lineage.promotions} promoted before; may have lost "
            f"{lineage.spent:.4f} against {_short(lineage.anchor)}",
        )
    if live is not None:
        times = [live.champion_p99_us, live.challenger_p99_us]
        said = " and ".join("-" if time is None else f"{time:.0f} µs" for time in times)
        yield (
            "last requests",
            f"{live.requests}, the challenger failed on {live.failed}; 99 % took up to {said}; "
            f"{live.champion_positive} and {live.challenger_positive} positive",
        )


def _lines(evidence: Evidence) -> list[tuple[str, str]]:
    counts = evidence.counts
    lines = [
        ("customers", f"{counts.n} enrolled, {evidence.matured} matured, in {evidence.cohorts} {_noun(evidence)}"),
        ("pairs", f"{evidence.wins} wins, {evidence.ties} ties, {evidence.losses} losses of the challenger"),
        (
            "not counted",
            f"{evidence.missing_disagreements} missing disagreements, {evidence.missing_agreements} missing "
            f"agreements, {evidence.unscored} unscored, {evidence.late} late",
        ),
        (
            "right",
            f"champion {_percent(evidence.champion_accuracy)}, challenger {_percent(evidence.challenger_accuracy)}",
        ),
        (
            "difference",
            f"{_signed(evidence.difference)} in [{evidence.lower:+.4f}, {evidence.upper:+.4f}]{_spread(evidence)}",
        ),
        ("log e, promote", _against(evidence.log_e, evidence.log_e_worst, evidence.threshold)),
        (
            "log e, rollback",
            _against(evidence.rollback_log_e, evidence.rollback_log_e_best, evidence.rollback_threshold),
        ),
        (
            "split",
            f"{counts.answered_champion} answered by champion, {counts.answered_challenger} by challenger; "
            f"log e {evidence.srm_log_e:.2f} of {evidence.srm_threshold:.2f} that it is off",
        ),
    ]
    if evidence.treated or evidence.outside is not None:
        beside = evidence.outside.n if evidence.outside is not None else 0
        lines.append(
            (
                "treatment",
                f"{evidence.treated} treated, {evidence.spoiled} of them against the lot; {beside} no evidence",
            )
        )
    return lines


def _noun(evidence: Evidence) -> str:
    return "cohort" if evidence.cohorts == 1 else "cohorts"


def _against(log_e: float, with_missing: float, threshold: float) -> str:
    return f"{log_e:.2f} of {threshold:.2f} ({with_missing:.2f} with every missing truth against it)"


def _spread(evidence: Evidence) -> str:
    if evidence.spread is None or evidence.cohorts < 2:
        return ""
    return f", single cohorts {evidence.spread[0]:+.4f} to {evidence.spread[1]:+.4f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"
