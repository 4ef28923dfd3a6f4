"""What insight says to Prometheus: explanations and drafts, and how its workers and Groq fare.

Insight answers in one process, so its counts are plain numbers, whatever BentoML sets up for several.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from service.insight.answering import Explained
from service.insight.emails.writing import Source, Why
from service.metric_names import INSIGHT_HELP, Insight
from service.scoring.models import Identity

CONTENT_TYPE: str = CONTENT_TYPE_LATEST
UPPER_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class Seconds:
    """How long things took, in bins.

    Attributes:
        counts: By bin; the last is for everything above the others.
        total: Of all, in seconds.
    """

    def __init__(self) -> None:
        self.counts = [0] * (len(UPPER_SECONDS) + 1)
        self.total = 0.0

    def note(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(UPPER_SECONDS, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Upper limits with how many are at or below them, as Prometheus wants them."""
        limits = [*(f"{upper:g}" for upper in UPPER_SECONDS), "+Inf"]
        return list(zip(limits, map(float, accumulate(self.counts)), strict=True))


@dataclass
class InsightCounts:
    """What was counted since the process began.

    Attributes:
        explained: By model and result.
        seconds: Of rows that a worker explained, by model.
        drafts: By source and reason.
        groq: Seconds of calls.
    """

    explained: Counter[tuple[str, ...]] = field(default_factory=Counter)
    seconds: dict[str, Seconds] = field(default_factory=dict)
    drafts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    groq: Seconds = field(default_factory=Seconds)

    def count_explained(self, model: Identity, result: Explained, seconds: float) -> None:
        """Count an explanation, or that there was none."""
        self.explained[str(model), result] += 1
        if result == "explained":
            self.seconds.setdefault(str(model), Seconds()).note(seconds)

    def count_draft(self, source: Source, reason: Why, groq_seconds: float | None) -> None:
        """Count a draft, and the seconds of Groq's call where there was one."""
        self.drafts[source, reason] += 1
        if groq_seconds is not None:
            self.groq.note(groq_seconds)


@dataclass(frozen=True, kw_only=True)
class InsightState:
    """How things are now.

    Attributes:
        kept: Explanations that are kept.
        workers: Workers that are ready.
        deaths: Workers that ended.
        waiting: Rows that wait for a worker.
        groq_calls_left: Today.
        is_groq_left_alone: Because it failed.
    """

    kept: int
    workers: int
    deaths: int
    waiting: int
    groq_calls_left: int
    is_groq_left_alone: bool


def render_metrics(counts: InsightCounts, state: InsightState) -> bytes:
    """The metrics in Prometheus's text form."""
    registry = CollectorRegistry()
    registry.register(_Said(counts, state))
    return generate_latest(registry)


class _Said(Collector):
    def __init__(self, counts: InsightCounts, state: InsightState) -> None:
        self._counts, self._state = counts, state

    def collect(self) -> Iterator[Metric]:
        """What was counted, then how things are."""
        counts, state = self._counts, self._state
        yield _counter(Insight.EXPLANATIONS, ("model", "result"), counts.explained)
        yield _histogram(
            Insight.EXPLANATION_SECONDS, {(model,): one for model, one in counts.seconds.items()}, ("model",)
        )
        yield _gauge(Insight.KEPT, state.kept)
        yield _gauge(Insight.WORKERS, state.workers)
        yield _counter(Insight.WORKER_DEATHS, (), {(): state.deaths})
        yield _gauge(Insight.QUEUE, state.waiting)
        yield _counter(Insight.DRAFTS, ("source", "reason"), counts.drafts)
        yield _histogram(Insight.GROQ_SECONDS, {(): counts.groq}, ())
        yield _gauge(Insight.GROQ_CALLS_LEFT, state.groq_calls_left)
        yield _gauge(Insight.GROQ_CIRCUIT_OPEN, float(state.is_groq_left_alone))


def _counter(name: str, labels: tuple[str, ...], values: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name.removesuffix("_total"), INSIGHT_HELP[name], labels=labels)
    for own, value in values.items():
        family.add_metric(own, value)
    return family


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, INSIGHT_HELP[name], value=value)


def _histogram(name: str, values: Mapping[tuple[str, ...], Seconds], labels: tuple[str, ...]) -> Metric:
    family = HistogramMetricFamily(name, INSIGHT_HELP[name], labels=labels)
    for own, seconds in values.items():
        family.add_metric(own, seconds.buckets(), seconds.total)
    return family
