"""What the judge says to Prometheus: the evidence of every trial, and how its own looks fare."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from service.metric_names import JUDGE_HELP, MODEL_DIGITS, Judge
from validation.judge.evidence import Evidence
from validation.judge.outcomes import Told
from validation.judge.protected import GroupTally
from validation.judge.status import Status
from validation.judge.verdict import Decision
from validation.statistics.paired import payoff_mean_sequence

CONTENT_TYPE: str = CONTENT_TYPE_LATEST
_WHO = ("variant", "model")
_SHOWN_ALPHA = 0.05
"""Of each model's accuracy by itself, on which no verdict rests: how sure those are a policy says."""

_Values = Callable[[Evidence], Mapping[tuple[str, ...], float]]


@dataclass(frozen=True)
class Looks:
    """How looking goes.

    Attributes:
        seconds: What the last look took; None before the first.
        failed: How many could not be ended.
        knows_contract: Whether the champion's contract could be read; None before the first.
    """

    seconds: float | None = None
    failed: int = 0
    knows_contract: bool | None = None


def render_metrics(
    status: Status | None,
    looks: Looks,
    groups: Mapping[str, Sequence[GroupTally]] | None = None,
    outcomes: Mapping[Told, int] | None = None,
) -> bytes:
    """The metrics in Prometheus's text form.

    Args:
        status: What the judge says; None if it cannot say anything: then of itself alone.
        looks: How its looks go.
        groups: The protected groups of each experiment.
        outcomes: Those that landed since it began.
    """
    registry = CollectorRegistry()
    registry.register(_Said(status, looks, groups or {}, outcomes or {}))
    return generate_latest(registry)


class _Said(Collector):
    """One family a name; a trial's challenger is the label, by the first digits of its digest."""

    def __init__(
        self,
        status: Status | None,
        looks: Looks,
        groups: Mapping[str, Sequence[GroupTally]],
        outcomes: Mapping[Told, int],
    ) -> None:
        self._trials = [] if status is None else [one for one in (status, *status.further) if one.challenger]
        self._status, self._looks, self._groups, self._outcomes = status, looks, groups, outcomes

    def collect(self) -> Iterator[Metric]:
        """Gauges of what was found in the last look."""
        yield self._gauge(Judge.MATURED, (), lambda one: {(): one.matured})
        yield self._gauge(Judge.CUSTOMERS, ("result",), _results)
        yield self._gauge(Judge.ANSWERED, ("role",), _answered)
        yield self._gauge(Judge.ACCURACY, ("role", "end"), _accuracies)
        yield self._gauge(Judge.LATE, (), lambda one: {(): one.late})
        yield self._gauge(Judge.LOG_E, ("claim",), _log_es)
        yield self._gauge(Judge.THRESHOLD, ("claim",), _thresholds)
        yield self._gauge(Judge.DIFFERENCE, ("end",), _ends)
        yield self._gauge(Judge.GROUP_DIFFERENCE, ("attribute", "value", "end"), _group_ends)
        yield self._gauge(Judge.GROUP_MATURED, ("attribute", "value"), lambda one: _of_groups(one, "matured"))
        yield self._gauge(Judge.GROUP_MARGIN, ("attribute", "value"), lambda one: _of_groups(one, "margin"))
        yield from self._of_protected()
        yield from self._of_requests()
        yield self._of_outcomes()
        yield from self._of_log()
        yield from self._of_trials()
        yield from self._of_looks()

    def _gauge(self, name: str, labels: tuple[str, ...], values: _Values) -> Metric:
        family = GaugeMetricFamily(name, JUDGE_HELP[name], labels=[*_WHO, *labels])
        for trial in self._trials:
            evidence = trial.verdict.evidence
            for own, value in (values(evidence) if evidence is not None else {}).items():
                family.add_metric([*_named(trial), *own], value)
        return family

    def _of_protected(self) -> Iterator[Metric]:
        """Groups that are only shown: beside each other, as no verdict weighs them."""
        by, roles = ("attribute", "value"), ("champion", "challenger")
        customers = GaugeMetricFamily(
            Judge.PROTECTED_CUSTOMERS, JUDGE_HELP[Judge.PROTECTED_CUSTOMERS], labels=[*_WHO, *by]
        )
        outcome = GaugeMetricFamily(Judge.PROTECTED_OUTCOME, JUDGE_HELP[Judge.PROTECTED_OUTCOME], labels=[*_WHO, *by])
        selection, accuracy = (
            GaugeMetricFamily(name, JUDGE_HELP[name], labels=[*_WHO, *by, "role"])
            for name in (Judge.PROTECTED_SELECTION, Judge.PROTECTED_ACCURACY)
        )
        for trial in self._trials:
            for group in self._groups.get(trial.experiment, ()):
                own = [*_named(trial), group.attribute, group.value]
                customers.add_metric(own, group.customers)
                outcome.add_metric(own, group.positive / group.customers)
                for role in roles:
                    selection.add_metric([*own, role], getattr(group, f"{role}_positive") / group.customers)
                    accuracy.add_metric([*own, role], getattr(group, f"{role}_right") / group.customers)
        yield from (customers, outcome, selection, accuracy)

    def _of_requests(self) -> Iterator[Metric]:
        """Engineering limits; only a policy with limits makes the judge look at requests."""
        looked = [(_named(one), one.verdict.live) for one in self._trials if one.verdict.live is not None]
        requests = GaugeMetricFamily(Judge.LIVE_REQUESTS, JUDGE_HELP[Judge.LIVE_REQUESTS], labels=_WHO)
        failed = GaugeMetricFamily(Judge.LIVE_FAILED, JUDGE_HELP[Judge.LIVE_FAILED], labels=_WHO)
        slowest = GaugeMetricFamily(Judge.LIVE_P99, JUDGE_HELP[Judge.LIVE_P99], labels=[*_WHO, "role"])
        positive = GaugeMetricFamily(Judge.LIVE_POSITIVE, JUDGE_HELP[Judge.LIVE_POSITIVE], labels=[*_WHO, "role"])
        for who, live in looked:
            requests.add_metric(who, live.requests)
            failed.add_metric(who, live.failed)
            for role, micros in (("champion", live.champion_p99_us), ("challenger", live.challenger_p99_us)):
                if micros is not None:
                    slowest.add_metric([*who, role], micros / 1e6)
            for role, n in (("champion", live.champion_positive), ("challenger", live.challenger_positive)):
                if live.scored:
                    positive.add_metric([*who, role], n / live.scored)
        yield from (requests, failed, slowest, positive)

    def _of_outcomes(self) -> Metric:
        """Of whoever answered; the others are of a trial, and its challenger's."""
        name = Judge.OUTCOMES
        family = CounterMetricFamily(name.removesuffix("_total"), JUDGE_HELP[name], labels=[*_WHO, "result"])
        for told, number in sorted(self._outcomes.items()):
            family.add_metric([told.variant, _short(told.model), told.result], number)
        return family

    def _of_log(self) -> Iterator[Metric]:
        waiting = GaugeMetricFamily(Judge.WAITING, JUDGE_HELP[Judge.WAITING], labels=_WHO)
        logged = GaugeMetricFamily(Judge.LOGGED, JUDGE_HELP[Judge.LOGGED], labels=[*_WHO, "kind"])
        for trial in self._trials:
            waiting.add_metric(_named(trial), trial.waiting)
            for kind in trial.logged.__struct_fields__:
                logged.add_metric([*_named(trial), kind], getattr(trial.logged, kind))
        if self._status is not None and not self._trials:
            waiting.add_metric(["champion", _short(self._status.champion)], self._status.waiting)
        yield from (waiting, logged)

    def _of_trials(self) -> Iterator[Metric]:
        verdicts = GaugeMetricFamily(Judge.VERDICT, JUDGE_HELP[Judge.VERDICT], labels=[*_WHO, "verdict"])
        numbers = GaugeMetricFamily(Judge.TRIAL, JUDGE_HELP[Judge.TRIAL], labels=_WHO)
        spent = GaugeMetricFamily(Judge.MARGIN_SPENT, JUDGE_HELP[Judge.MARGIN_SPENT], labels=_WHO)
        lags = GaugeMetricFamily(Judge.COHORT_LAG, JUDGE_HELP[Judge.COHORT_LAG], labels=_WHO)
        for trial in self._trials:
            for name in get_args(Decision):
                verdicts.add_metric([*_named(trial), name], trial.verdict.verdict == name)
            lags.add_metric(_named(trial), trial.cohort_lag_seconds)
            if trial.verdict.lineage is not None:
                numbers.add_metric(_named(trial), trial.verdict.lineage.number)
                spent.add_metric(_named(trial), trial.verdict.lineage.spent)
        yield from (verdicts, numbers, spent, lags)

    def _of_looks(self) -> Iterator[Metric]:
        seconds = GaugeMetricFamily(Judge.LOOK_SECONDS, JUDGE_HELP[Judge.LOOK_SECONDS])
        if self._looks.seconds is not None:
            seconds.add_metric([], self._looks.seconds)
        yield seconds
        at = GaugeMetricFamily(Judge.LOOKED_AT, JUDGE_HELP[Judge.LOOKED_AT])
        if self._status is not None:
            at.add_metric([], self._status.looked_at.timestamp())
        yield at
        known = GaugeMetricFamily(Judge.CONTRACT_KNOWN, JUDGE_HELP[Judge.CONTRACT_KNOWN])
        if self._looks.knows_contract is not None:
            known.add_metric([], self._looks.knows_contract)
        yield known
        failed = Judge.LOOKS_FAILED
        yield CounterMetricFamily(failed.removesuffix("_total"), JUDGE_HELP[failed], value=self._looks.failed)


def _named(trial: Status) -> list[str]:
    return ["challenger", _short(trial.challenger or "")]


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:MODEL_DIGITS]


def _results(one: Evidence) -> Mapping[tuple[str, ...], float]:
    names = ("wins", "ties", "losses", "missing_agreements", "missing_disagreements", "unscored")
    return {(name,): getattr(one, name) for name in names}


def _answered(one: Evidence) -> Mapping[tuple[str, ...], float]:
    newest = one.phases[-1:]
    return {(role,): getattr(phase, f"answered_{role}") for phase in newest for role in ("champion", "challenger")}


def _accuracies(one: Evidence) -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for role, share in (("champion", one.champion_accuracy), ("challenger", one.challenger_accuracy)):
        if share is not None:
            right = round(share * one.matured)
            lower, upper = payoff_mean_sequence({1.0: right, 0.0: one.matured - right}, _SHOWN_ALPHA)
            found |= {(role, "lower"): lower, (role, "observed"): share, (role, "upper"): upper}
    return found


def _of_groups(one: Evidence, name: str) -> Mapping[tuple[str, ...], float]:
    return {(group.attribute, group.value): getattr(group, name) for group in one.groups}


def _log_es(one: Evidence) -> Mapping[tuple[str, ...], float]:
    return {
        ("promote",): one.log_e,
        ("promote_worst",): one.log_e_worst,
        ("rollback",): one.rollback_log_e,
        ("rollback_best",): one.rollback_log_e_best,
        ("srm",): one.srm_log_e_max,
    }


def _thresholds(one: Evidence) -> Mapping[tuple[str, ...], float]:
    return {("promote",): one.threshold, ("rollback",): one.rollback_threshold, ("srm",): one.srm_threshold}


def _ends(one: Evidence) -> Mapping[tuple[str, ...], float]:
    ends = {"lower": one.lower, "observed": one.difference, "upper": one.upper}
    return {(end,): value for end, value in ends.items() if value is not None}


def _group_ends(one: Evidence) -> Mapping[tuple[str, ...], float]:
    found: dict[tuple[str, ...], float] = {}
    for group in one.groups:
        ends = {"lower": group.lower, "observed": group.difference, "upper": group.upper}
        found |= {(group.attribute, group.value, end): value for end, value in ends.items() if value is not None}
    return found
