"""Drift as text: what is to be said first, then a line a feature, the worst first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from validation.drift.comparing import Drift, Finding, ModelDrift, Rise
from validation.drift.limits import LIMITS

_STYLES: dict[Finding, str] = {"drifted": "bold red", "quiet": "bold green", "unknown": "bold yellow"}
_NONE = "-"


def render(found: Sequence[ModelDrift], feature: str | None = None) -> RenderableType:
    """Draw drift, legible at 80 columns and without colour.

    Args:
        found: One a model.
        feature: Whose bins are drawn; None: a line of every feature.
    """
    return Group(*(part for one in found for part in _model(one, feature)))


def _model(found: ModelDrift, feature: str | None) -> list[RenderableType]:
    drawn = [_features(found)] if feature is None else [_bins(one) for one in _named(found, feature)]
    return [_headline(found), *drawn, Text("\n" + "\n".join(_notes(found)) + "\n")]


def _named(found: ModelDrift, feature: str) -> list[Drift]:
    return [one for one in (*found.features, found.score) if one.name == feature]


def _headline(found: ModelDrift) -> Text:
    text = Text(f"{found.model}  ")
    text.append(_WORDS[found.finding], style=_STYLES[found.finding])
    between = f"{found.since:%Y-%m-%d %H:%M} to {found.until:%Y-%m-%d %H:%M} UTC"
    return text.append(f"  {found.rows:,} live rows, {between}\n")


_WORDS: dict[Finding, str] = {
    "drifted": "DRIFTED",
    "quiet": "quiet",
    "unknown": "UNKNOWN",
}


def _features(found: ModelDrift) -> Table:
    table = _table(("feature", "PSI", "limit", "JS", "KS", "missing", "unseen", ""))
    for one in (found.score, *found.features):
        numbers = [_number(one.psi), _number(one.psi_limit), _number(one.js), _number(one.ks)]
        table.add_row(one.name, *numbers, _ratio(one.missing), _ratio(one.unseen), _said(one))
    return table


def _bins(one: Drift) -> Table:
    table = _table((one.name, "rows", "share", "in training", "part of PSI"))
    for bin_ in one.bins:
        shares = f"{bin_.share:.1%}", f"{bin_.reference_share:.1%}"
        table.add_row(bin_.name, f"{bin_.rows:,.0f}", *shares, f"{bin_.psi:.4f}")
    table.add_row("all", f"{one.n:,.0f}", "", "", _number(one.psi, 4), end_section=True)
    return table


def _table(headings: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place > 0 and heading else "left")
    return table


def _said(one: Drift) -> Text:
    said = [
        name for name, rise in (("missing", one.missing), ("unseen", one.unseen)) if rise and rise.finding == "drifted"
    ]
    if one.finding == "drifted":
        said.insert(0, "drifted")
    if said:
        return Text(", ".join(said), style=_STYLES["drifted"])
    return Text("too few rows" if one.finding == "unknown" else "", style=_STYLES["unknown"])


def _notes(found: ModelDrift) -> list[str]:
    lines = []
    if found.mean is not None:
        mean = found.mean
        moved = "moved" if mean.finding == "drifted" else "has not moved"
        lines.append(
            f"Mean probability {mean.mean:.3f}, in training {mean.reference:.3f}: {100 * mean.shift:+.1f} points "
            f"({100 * mean.low:+.1f} to {100 * mean.high:+.1f}); it {moved} by "
            "more than matters and chance explains."
        )
    if found.positive_ratio is not None:
        lines.append(f"{found.positive_ratio:.1%} of its answers were positive.")
    if found.repeats > 1:
        lines.append(
            f"{found.customers:,} customers; a row's customer has {found.repeats:.2f} rows on average, and limits are "
            "wider by so much."
        )
    if found.unreadable:
        lines.append(f"{found.unreadable:,} rows are not of this contract and count nowhere.")
    if found.finding == "unknown":
        lines.append(
            f"Below {LIMITS.rows} customers' worth of rows nobody knows how far chance reaches: this is no sign that "
            "nothing drifted."
        )
    return lines


def _number(value: float | None, digits: int = 3) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"


def _ratio(rise: Rise | None) -> str:
    return _NONE if rise is None else f"{rise.ratio:.1%}"
