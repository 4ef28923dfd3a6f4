"""Engineering limits: what the last requests say without any outcome. One that is broken does not wait for evidence."""

from __future__ import annotations

import msgspec

from validation.judge.policy import Limits, OnlinePolicy


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """The last requests on which a challenger was asked.

    Attributes:
        requests: How many were looked at.
        failed: On how many the challenger gave no probability: an error, a NaN, or left alone after such.
        champion_p99_us: 99th percentile of the calls that the champion's answers were part of, microseconds.
        challenger_p99_us: The same of the challenger; None where nobody measured.
        champion_positive: Of the requests that both scored, how many the champion called positive.
        challenger_positive: The same of the challenger.
    """

    requests: int
    failed: int
    champion_p99_us: float | None
    challenger_p99_us: float | None
    champion_positive: int
    challenger_positive: int

    @property
    def scored(self) -> int:
        """Requests that both models scored."""
        return self.requests - self.failed

    @property
    def failed_share(self) -> float | None:
        """Share of the requests on which the challenger failed; None without requests."""
        return self.failed / self.requests if self.requests else None

    @property
    def latency_ratio(self) -> float | None:
        """How many times the champion's 99th percentile the challenger's is; None where nobody measured."""
        if self.champion_p99_us is None or self.challenger_p99_us is None:
            return None
        return self.challenger_p99_us / max(self.champion_p99_us, 1.0)

    @property
    def positive_change(self) -> float | None:
        """By how much the challenger's share of positive labels is above the champion's; None where none was scored."""
        return (self.challenger_positive - self.champion_positive) / self.scored if self.scored else None


def broken_limits(live: Live | None, policy: OnlinePolicy) -> list[str]:
    """Which limits are broken, in sentences; none without limits or with too few requests."""
    limits = policy.limits
    if limits is None or live is None or live.requests < limits.min_requests:
        return []
    found = [_errors(live, limits), _latency(live, limits), _positives(live, limits)]
    return [sentence for sentence in found if sentence is not None]


def _errors(live: Live, limits: Limits) -> str | None:
    share = live.failed_share
    if limits.challenger_error_share is None or share is None or share <= limits.challenger_error_share:
        return None
    return (
        f"limit challenger_error_share: the challenger failed on {live.failed} of the last {live.requests} requests "
        f"({share:.2%}); {limits.challenger_error_share:.2%} are allowed"
    )


def _latency(live: Live, limits: Limits) -> str | None:
    ratio = live.latency_ratio
    if limits.latency_p99_ratio is None or ratio is None or ratio <= limits.latency_p99_ratio:
        return None
    return (
        f"limit latency_p99_ratio: 99 % of the challenger's calls took up to {live.challenger_p99_us:.0f} µs over the "
        f"last {live.requests} requests, {ratio:.2f} times the champion's {live.champion_p99_us:.0f} µs; "
        f"{limits.latency_p99_ratio:g} times are allowed"
    )


def _positives(live: Live, limits: Limits) -> str | None:
    if limits.positive_share_change is None or live.scored < limits.min_requests:
        return None
    champion, challenger = live.champion_positive / live.scored, live.challenger_positive / live.scored
    if abs(challenger - champion) <= limits.positive_share_change:
        return None
    return (
        f"limit positive_share_change: the challenger calls {challenger:.1%} positive and the champion {champion:.1%}, "
        f"over the last {live.scored} requests that both scored; {limits.positive_share_change:.1%} apart is allowed"
    )
