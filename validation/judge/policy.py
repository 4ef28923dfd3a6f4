"""The online policy: which one success metric and which one claim a challenger is judged by, and how sure to be."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from bentos.errors import InvalidPolicy, NotFound, shown
from bentos.strict_yaml import load_yaml, read_file

SCHEMA_VERSION = 1

Metric = Literal["accuracy", "profit"]
Claim = Literal["superiority", "non_inferiority"]
WhenUnderpowered = Literal["report", "wait"]
Better = Literal["fewer", "more"]

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|h|d)")
_MICROS = 1_000_000


class GroupRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That no group of customers is worse off.

    Attributes:
        attribute: A feature without quote or backslash in its name; each value is a group, and its absence is one too.
        margin: What a group may lose, a share of the metric in (0, 0.5).
        when_underpowered: What a promotion does where a group has too few customers to show that: `report` says so and
            goes on, `wait` waits. A group with enough customers is waited for either way.
    """

    attribute: str
    margin: float
    when_underpowered: WhenUnderpowered


class ArmRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """That the outcomes of those whom the challenger answered are no worse, whatever was done with its answers (F4).

    Attributes:
        better: Whether `fewer` or `more` positive outcomes are better: of customers who leave, fewer.
        margin: By how much the share of the positive may be worse, in (0, 0.5).
        alpha: Chance of ever finding that true which is not, in (0, 0.5).
        n_expected: Customers of both arms at whom a decision is expected; the sequence is narrowest there.
    """

    better: Better
    margin: float
    alpha: float
    n_expected: int


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Engineering limits on what needs no outcome. One that is broken rolls back at once; they are outside alpha.

    Attributes:
        challenger_error_share: Share of requests on which the challenger may fail, in [0, 1); None for no limit.
        latency_p99_ratio: How many times the champion's 99th percentile the challenger's may be, above 0.
        positive_share_change: By how much its share of positive labels may differ from the champion's, in (0, 1).
        min_requests: Requests in the window below which nothing is judged, at least 1.
        window_seconds: How far back is looked; never beyond the beginning of the phase.
    """

    challenger_error_share: float | None = None
    latency_p99_ratio: float | None = None
    positive_share_change: float | None = None
    min_requests: int
    window_seconds: float = 3600.0


class _PolicyFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file as it is written; durations are not read yet."""

    schema_version: int
    name: str
    metric: Metric
    false_positive_cost: float | None = None
    claim: Claim
    margin: float = 0.0
    alpha_promote: float
    alpha_rollback: float
    alpha_srm: float = 0.001
    maturity_window: str | float
    cohort: str | float
    min_cohorts: int
    min_matured: int
    actions_follow_predictions: bool
    lineage_margin: float | None = None
    groups: tuple[GroupRule, ...] = ()
    outcome_by_arm: ArmRule | None = None
    limits: Limits | None = None


class OnlinePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What a verdict is judged by.

    Attributes:
        name: What people call it; no part of the digest.
        metric: The one success metric. `accuracy`: share of right labels. `profit`: costs avoided a customer.
        false_positive_cost: Cost of a false positive over the cost of a false negative, for `profit`; None otherwise.
        claim: What a promotion claims: `superiority`, or `non_inferiority` by `margin`.
        margin: What may be lost, a share of the metric in (0, 0.5); 0 for superiority. For profit the unit is the
            dearer of the two mistakes.
        alpha_promote: Chance of ever promoting a challenger that the claim is not true of, in (0, 0.5].
        alpha_rollback: Chance of ever rolling back one without that harm, in (0, 0.5].
        alpha_srm: Chance of ever calling a right split wrong, in (0, 0.5].
        maturity_window: How long after a prediction its outcome is final, microseconds.
        cohort: Length of a cohort, microseconds.
        min_cohorts: Cohorts with matured customers that a promotion needs, at least 1.
        min_matured: Matured customers that a promotion needs, at least 1.
        actions_follow_predictions: Whether anybody acts on predictions (offers, calls) in a way that changes outcomes.
            Then only customers from whom actions are withheld are evidence for a pair.
        lineage_margin: What all non-inferior promotions of a lineage together may lose against its anchor; None for one
            `margin`, so that the claim holds of the lineage as a whole.
        groups: Attributes whose groups must not be worse off.
        outcome_by_arm: The rule on outcomes by the variant that answered, if there is one.
        limits: Engineering limits, if there are any.
    """

    name: str
    metric: Metric
    false_positive_cost: float | None
    claim: Claim
    margin: float
    alpha_promote: float
    alpha_rollback: float
    alpha_srm: float
    maturity_window: int
    cohort: int
    min_cohorts: int
    min_matured: int
    actions_follow_predictions: bool
    lineage_margin: float | None = None
    groups: tuple[GroupRule, ...] = ()
    outcome_by_arm: ArmRule | None = None
    limits: Limits | None = None

    @property
    def margin_budget(self) -> float:
        """What all non-inferior promotions of a lineage together may lose."""
        return self.margin if self.lineage_margin is None else self.lineage_margin

    @property
    def harm_rules(self) -> int:
        """How many rules may find harm; they divide `alpha_rollback`."""
        return 1 + len(self.groups) + (self.outcome_by_arm is not None)

    @property
    def digest(self) -> str:
        """What evidence is keyed by: every rule, and not the name.

        A rule that is not there is left out, so that a policy from before there was such a rule keeps its digest.
        """
        rules = {key: value for key, value in msgspec.to_builtins(self).items() if key != "name"}
        for key in ("lineage_margin", "groups", "outcome_by_arm", "limits"):
            if not rules[key] and rules[key] != 0:
                del rules[key]
        if self.actions_follow_predictions:
            rules["evidence"] = "no_treatment"  # it was everybody once, and every verdict INVALID
        return f"sha256:{hashlib.sha256(msgspec.json.encode(rules, order='sorted')).hexdigest()}"


def parse_policy(content: bytes, source: str = "policy.yaml") -> OnlinePolicy:
    """Read an online policy.

    Raises:
        InvalidPolicy: It cannot be judged by; the message names each key and what is allowed.
    """
    try:
        file = msgspec.convert(load_yaml(content), type=_PolicyFile)
    except (yaml.YAMLError, msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidPolicy(f"{source}: {' '.join(str(e).split())}") from e
    window, cohort = _micros(file.maturity_window), _micros(file.cohort)
    problems = [*_contradictions(file), *_bad_durations(maturity_window=window, cohort=cohort)]
    if problems or window is None or cohort is None:
        raise InvalidPolicy(f"{source}: " + "; ".join(problems))
    fields = {key: getattr(file, key) for key in file.__struct_fields__ if key != "schema_version"}
    return OnlinePolicy(**{**fields, "maturity_window": window, "cohort": cohort})


def load_policy(path: Path) -> OnlinePolicy:
    """Read an online policy's file; see `parse_policy`.

    Raises:
        NotFound: There is none.
        InvalidPolicy: It cannot be judged by.
    """
    try:
        return parse_policy(read_file(path), str(path))
    except FileNotFoundError as e:
        raise NotFound(f"there is no policy file {path}") from e
    except yaml.YAMLError as e:
        raise InvalidPolicy(f"{path}: {e}") from e


_LEAST_LEVEL = 1e-6
_MOST = 1_000_000_000


def _contradictions(file: _PolicyFile) -> Iterator[str]:
    if file.schema_version != SCHEMA_VERSION:
        yield f"schema_version is {file.schema_version}; it must be {SCHEMA_VERSION}"
    for key in ("alpha_promote", "alpha_rollback", "alpha_srm"):
        if not _LEAST_LEVEL <= getattr(file, key) <= 0.5:
            yield f"{key} is {getattr(file, key):g}; it must be at least {_LEAST_LEVEL:g} and at most 0.5"
    for key in ("min_cohorts", "min_matured"):
        if not 1 <= getattr(file, key) <= _MOST:
            yield f"{key} is {shown(getattr(file, key))}; it must be from 1 to {_MOST}"
    yield from _bad_claim(file)
    yield from _bad_cost(file)
    yield from _bad_groups(file.groups)
    yield from _bad_arms(file.outcome_by_arm)
    yield from _bad_limits(file.limits)


def _bad_claim(file: _PolicyFile) -> Iterator[str]:
    if file.claim == "superiority" and file.margin != 0:
        yield f"margin is {file.margin:g}; with claim superiority it must be left out"
    if file.claim == "non_inferiority" and not 0 < file.margin < 0.5:
        yield f"margin is {file.margin:g}; with claim non_inferiority it must be above 0 and below 0.5"
    budget = file.lineage_margin
    if budget is not None and file.claim == "superiority":
        yield f"lineage_margin is {budget:g}; with claim superiority it must be left out, as nothing is spent"
    elif budget is not None and not file.margin <= budget < 0.5:
        yield f"lineage_margin is {budget:g}; it must be at least the margin, {file.margin:g}, and below 0.5"


def _bad_cost(file: _PolicyFile) -> Iterator[str]:
    cost = file.false_positive_cost
    if file.metric == "accuracy" and cost is not None:
        yield f"false_positive_cost is {cost:g}; with metric accuracy it must be left out"
    if file.metric == "profit" and (cost is None or not (0 < cost < math.inf)):
        found = "missing" if cost is None else f"{cost:g}"
        yield f"false_positive_cost is {found}; with metric profit it must be above 0"


def _bad_groups(groups: tuple[GroupRule, ...]) -> Iterator[str]:
    for i, rule in enumerate(groups):
        if not rule.attribute.isprintable() or not rule.attribute or set(rule.attribute) & {'"', "\\"}:
            yield f"groups[{i}].attribute is {rule.attribute!r}; it must be a feature without quote or backslash"
        if not 0 < rule.margin < 0.5:
            yield f"groups[{i}].margin is {rule.margin:g}; it must be above 0 and below 0.5"
    if len({rule.attribute for rule in groups}) < len(groups):
        yield "groups name an attribute twice; each must be named once"


def _bad_arms(rule: ArmRule | None) -> Iterator[str]:
    if rule is None:
        return
    if not 0 < rule.margin < 0.5:
        yield f"outcome_by_arm.margin is {rule.margin:g}; it must be above 0 and below 0.5"
    if not 0 < rule.alpha < 0.5:
        yield f"outcome_by_arm.alpha is {rule.alpha:g}; it must be above 0 and below 0.5"
    if rule.n_expected < 1:
        yield f"outcome_by_arm.n_expected is {rule.n_expected}; it must be at least 1"


def _bad_limits(limits: Limits | None) -> Iterator[str]:
    if limits is None:
        return
    share, ratio, change = limits.challenger_error_share, limits.latency_p99_ratio, limits.positive_share_change
    if share is None and ratio is None and change is None:
        yield "limits has no limit; it must set challenger_error_share, latency_p99_ratio or positive_share_change"
    if share is not None and not 0 <= share < 1:
        yield f"limits.challenger_error_share is {share:g}; it must be in [0, 1)"
    if ratio is not None and not 0 < ratio < math.inf:
        yield f"limits.latency_p99_ratio is {ratio:g}; it must be above 0"
    if change is not None and not 0 < change < 1:
        yield f"limits.positive_share_change is {change:g}; it must be above 0 and below 1"
    if limits.min_requests < 1:
        yield f"limits.min_requests is {limits.min_requests}; it must be at least 1"
    if not 0 < limits.window_seconds < math.inf:
        yield f"limits.window_seconds is {limits.window_seconds:g}; it must be above 0"


def _bad_durations(**durations: int | None) -> Iterator[str]:
    for key, micros in durations.items():
        if micros is None:
            yield f"{key} must be seconds above 0, or a number with s, min, h or d, such as 30d"


def _micros(duration: str | float) -> int | None:
    if isinstance(duration, str):
        found = _DURATION.fullmatch(duration.strip())
        seconds = float(found[1]) * _UNITS[found[2]] if found else math.nan
    else:
        seconds = float(duration)
    micros = seconds * _MICROS
    return round(micros) if 1 <= micros < 2**53 else None
