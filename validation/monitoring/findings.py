"""What is good and what a person should look at, from numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec

from bentos.artifact import BlessedCheck, Blessing
from service.micros import from_micros
from validation.drift.comparing import Drift, ModelDrift
from validation.judge.policy import OnlinePolicy
from validation.monitoring.counting import Traffic, Truths
from validation.statistics import win_rate_sequence

Level = Literal["good", "bad", "unknown"]

ALPHA = 0.01
"""Chance, over all looks together, that a champion that is as good as its blessing is ever said to be worse."""

FEWEST = 200
"""Truths below which a champion's accuracy is not held against its blessing."""

_COVERAGE = 0.5
"""Share of matured customers whose truth must be known: with fewer, those who are known say little of the others."""

_RENEW = timedelta(days=14)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        name: `traffic`, `drift`, `outcomes`, `risk` or `blessing`.
        level: `bad` is for a person; `unknown` where too little is there to say anything.
        said: In a sentence with numbers.
        runbook: The alert whose page says what to do; None where there is nothing to do.
    """

    name: str
    level: Level
    said: str
    runbook: str | None = None


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a look says of a champion.

    Attributes:
        model: Name and version.
        digest: Artifact digest.
        looked_at: When.
        findings: In a fixed order.
        drift: Of the last week; None where it could not be told.
        truths: How right it was.
        promised: Lower end of the accuracy that its blessing found, that value, and the upper end; None without.
    """

    model: str
    digest: str
    looked_at: datetime
    findings: tuple[Finding, ...]
    drift: ModelDrift | None
    truths: Truths
    promised: tuple[float, float, float] | None

    @property
    def level(self) -> Level:
        """Bad if anything is; good if something of what it does is; unknown where only its blessing can be told."""
        if any(finding.level == "bad" for finding in self.findings):
            return "bad"
        is_good = any(finding.level == "good" and finding.name != "blessing" for finding in self.findings)
        return "good" if is_good else "unknown"


def on_traffic(traffic: Traffic) -> Finding:
    """Whether customers are scored at all."""
    if traffic.newest is None:
        return Finding(name="traffic", level="unknown", said="no live customer was ever scored")
    last = f"{from_micros(traffic.newest).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if not traffic.last_day:
        said = f"no live customer in 24 hours, the last one at {last}"
        return Finding(name="traffic", level="bad", said=said, runbook="GauntletTrafficGone")
    usual = f"{traffic.week_before / 7:,.0f} a day in the week before"
    return Finding(name="traffic", level="good", said=f"{traffic.last_day:,} live customers in 24 hours, {usual}")


def on_drift(drift: ModelDrift) -> Finding:
    """Whether customers, or the model's answers, are as in training, by the limits of the alerts."""
    moved = [one for one in (drift.score, *drift.features) if one.finding == "drifted"]
    if moved:
        runbook = "GauntletScoreDrift" if moved[0].name == "score" else "GauntletFeatureDrift"
        named = ", ".join(_psi(one) for one in moved)
        said = f"of {drift.rows:,} live customers in a week {named} moved by more than matters and than chance explains"
        return Finding(name="drift", level="bad", said=said, runbook=runbook)
    if drift.mean is not None and drift.mean.finding == "drifted":
        said = f"the mean probability moved by {drift.mean.shift:+.3f} from training's {drift.mean.reference:.3f}"
        return Finding(name="drift", level="bad", said=said, runbook="GauntletScoreMeanMoved")
    if drift.finding == "unknown":
        return Finding(name="drift", level="unknown", said=f"{drift.rows:,} live customers in a week are too few")
    return Finding(name="drift", level="good", said=f"{drift.rows:,} live customers in a week are as training's were")


def _psi(one: Drift) -> str:
    return f"{one.name} (PSI {one.psi:.2f})" if one.psi is not None else one.name


def on_outcomes(truths: Truths) -> Finding:
    """Whether truths come back."""
    if not truths.matured:
        return Finding(name="outcomes", level="unknown", said="nobody's outcome is due yet")
    share = truths.told / truths.matured
    said = f"of {truths.matured:,} customers whose outcome is due {share:.0%} were told"
    is_bad = share < _COVERAGE
    return Finding(
        name="outcomes",
        level="bad" if is_bad else "good",
        said=f"{said}, below {_COVERAGE:.0%}" if is_bad else said,
        runbook="GauntletOutcomesMissing" if is_bad else None,
    )


def on_risk(truths: Truths, promised: tuple[float, float, float] | None, policy: OnlinePolicy) -> Finding:
    """Whether the champion is as right as its blessing found, by a sequence that stays valid at every look."""
    if promised is None:
        return Finding(name="risk", level="unknown", said="its blessing says nothing of accuracy")
    if truths.told < FEWEST:
        said = f"{truths.told:,} truths are known; {FEWEST} are needed to hold it against its blessing"
        return Finding(name="risk", level="unknown", said=said)
    low, high = win_rate_sequence(truths.right, truths.told - truths.right, ALPHA)
    whom = " of customers from whom actions are withheld" if policy.actions_follow_predictions else ""
    said = (
        f"right on {truths.right / truths.told:.1%}{whom} (between {low:.1%} and {high:.1%}), and its blessing found "
        f"{promised[1]:.1%} (between {promised[0]:.1%} and {promised[2]:.1%})"
    )
    if high < promised[0]:
        return Finding(name="risk", level="bad", said=said, runbook="GauntletModelStale")
    return Finding(name="risk", level="good", said=said)


def on_blessing(blessing: Blessing | None, *, name: str, now: datetime) -> Finding:
    """Whether a blessing of the model of that name holds, and for how long."""
    if blessing is None:
        return Finding(name="blessing", level="bad", said="it has none", runbook="GauntletBlessingDoesNotHold")
    until = f"{blessing.expires_at:%Y-%m-%d}"
    if blessing.expires_at <= now:
        said = f"it expired on {until}"
        return Finding(name="blessing", level="bad", said=said, runbook="GauntletBlessingDoesNotHold")
    if blessing.expires_at <= now + _RENEW:
        said = f"it expires on {until}: `gauntlet gate models:/{name}@champion` renews it"
        return Finding(name="blessing", level="bad", said=said, runbook="GauntletBlessingExpires")
    return Finding(name="blessing", level="good", said=f"it holds until {until}")


def promised_by(blessing: Blessing | None) -> tuple[float, float, float] | None:
    """The accuracy that a blessing found, between the ends of its interval; None where it says nothing of it."""
    checks: Sequence[BlessedCheck] = blessing.checks if blessing is not None else ()
    for check in checks:
        if check.name == "accuracy" and check.value is not None and check.low is not None and check.high is not None:
            return check.low, check.value, check.high
    return None
