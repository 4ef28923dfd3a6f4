"""Counting: plain integers in this process, shown to Prometheus by one collector of its own registry.

prometheus-client's own counters choose at import between memory and files by an environment variable that
`bentoml serve` sets; these do not, cost a dictionary look-up, and are right with the one worker that scoring has.
"""

from __future__ import annotations

import platform
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar, get_args

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from service import metric_names as names
from service.models import Model
from service.records import Mode
from service.scoring import Roles, Scored

BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics(Collector):
    """What this process counted since it started.

    Attributes:
        outcomes: Outcomes accepted.
        judge_unanswered: Questions that the judge did not answer.
    """

    def __init__(self, state: Callable[[], ScoringState]) -> None:
        self.outcomes = 0
        self.judge_unanswered = 0
        self._state = state
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: dict[str, tuple[list[int], list[float]]] = {}
        self._predictions: Counter[tuple[str, str, str, str]] = Counter()
        self._failures: Counter[str] = Counter()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests[route, method, status] += 1
        found = self._seconds.get(route)
        if found is None:
            found = self._seconds[route] = ([0] * (len(BUCKETS_SECONDS) + 1), [0.0])
        counts, total = found
        counts[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        total[0] += seconds

    def count_prediction(self, scored: Scored, roles: Roles) -> None:
        """Count one prediction, and its challenger's failure if there was one."""
        answer = scored.answer
        self._predictions[answer.variant, str(answer.model), answer.label, scored.prediction.purpose] += 1
        if scored.failed and roles.challenger is not None:
            self._failures[str(roles.challenger.identity)] += 1

    def exposition(self) -> bytes:
        """Everything in Prometheus's text form."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """One family a name, whether something was counted or not."""
        yield _counter(names.REQUESTS, ("route", "method", "status"), self._requests)
        yield self._histogram()
        yield _counter(names.PREDICTIONS, ("variant", "model", "label", "purpose"), self._predictions)
        yield _counter(names.CHALLENGER_FAILURES, ("model",), {(model,): n for model, n in self._failures.items()})
        yield _counter(names.OUTCOMES, (), {(): self.outcomes})
        yield _counter(names.JUDGE_UNANSWERED, (), {(): self.judge_unanswered})
        state = self._state()
        yield _counter(names.SPOOL_LOST, (), {(): state.spool_lost})
        yield from _state_gauges(state)

    def _histogram(self) -> Metric:
        family = HistogramMetricFamily(names.REQUEST_SECONDS, names.HELP[names.REQUEST_SECONDS], labels=["route"])
        for route, (counts, total) in self._seconds.items():
            cumulative, buckets = 0, []
            for edge, count in zip((*map(str, BUCKETS_SECONDS), "+Inf"), counts, strict=True):
                cumulative += count
                buckets.append((edge, cumulative))
            family.add_metric([route], buckets, total[0])
        return family


@dataclass(frozen=True, kw_only=True)
class ScoringState:
    """What is true now and is not counted: asked for when Prometheus asks.

    Attributes:
        roles: Who plays which role; None while there are none.
        gauntlet: Version of Gauntlet that packed it.
        is_ready: Whether this process should get requests.
        is_file_valid: Whether the experiment file can be read.
        is_champion_present: Whether the Bento carries the champion that it names.
        is_challenger_present: Whether it carries the challenger that it puts on trial.
        spool_lost: Records that could not be written.
    """

    roles: Roles | None
    gauntlet: str
    is_ready: bool
    is_file_valid: bool
    is_champion_present: bool
    is_challenger_present: bool
    spool_lost: int


def _state_gauges(state: ScoringState) -> Iterator[Metric]:
    roles = state.roles
    yield _gauge(names.READY, state.is_ready)
    yield _gauge(names.EXPERIMENT_FILE_VALID, state.is_file_valid)
    yield _gauge(names.EXPERIMENT_CHAMPION_PRESENT, state.is_champion_present)
    yield _gauge(names.EXPERIMENT_CHALLENGER_PRESENT, state.is_challenger_present)
    yield _gauge(names.EXPERIMENT_REVISION, roles.revision if roles else 0)
    yield _gauge(names.EXPERIMENT_SPLIT, roles.split if roles else 0)
    modes = GaugeMetricFamily(names.EXPERIMENT_MODE, names.HELP[names.EXPERIMENT_MODE], labels=["mode"])
    for mode in get_args(Mode):
        modes.add_metric([mode], float(roles is not None and roles.mode == mode))
    yield modes
    yield _model_info(roles)
    labels = ["gauntlet", "python", "onnxruntime"]
    build = GaugeMetricFamily(names.BUILD_INFO, names.HELP[names.BUILD_INFO], labels=labels)
    build.add_metric([state.gauntlet, platform.python_version(), version("onnxruntime")], 1)
    yield build


def _model_info(roles: Roles | None) -> Metric:
    labels = ["role", "model", "name", "version", "digest"]
    family = GaugeMetricFamily(names.MODEL_INFO, names.HELP[names.MODEL_INFO], labels=labels)
    in_role: dict[str, Model | None] = (
        {} if roles is None else {"champion": roles.champion, "challenger": roles.challenger}
    )
    for role, model in in_role.items():
        if model is not None:
            it = model.identity
            family.add_metric([role, str(it), it.name, it.version, it.digest], 1)
    return family


_Labels = TypeVar("_Labels", bound=tuple[str | int, ...])


def _counter(name: str, labels: tuple[str, ...], counts: Mapping[_Labels, int]) -> Metric:
    family = CounterMetricFamily(name.removesuffix("_total"), names.HELP[name], labels=labels)
    for values, count in counts.items():
        family.add_metric([str(value) for value in values], count)
    return family


def _gauge(name: str, value: float) -> Metric:
    return GaugeMetricFamily(name, names.HELP[name], value=float(value))
