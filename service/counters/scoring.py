"""What a scoring worker counts: the layout that follows from its routes and its models."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from bentos.artifact import Contract, Reference
from service import metric_names as names
from service.counters.customers import FAMILIES as CUSTOMERS
from service.counters.exemplars import ExemplarGrid
from service.counters.features import FeatureGrid
from service.counters.layout import CounterFamily, Family, HistogramFamily, Layout, Series, combinations
from service.counters.scores import ScoreGrid
from service.http.application import METHODS, UNMATCHED
from service.http.messages import Route
from service.prediction_log.records import Purpose, Variant

OTHER = "other"
"""Where methods and statuses go that nobody expected."""

STATUSES = (
    *("200", "202", "204", "206", "304", "307", "400", "401", "403", "404", "405", "406", "408", "409", "411", "412"),
    *("413", "415", "421", "422", "425", "426", "429", "431", "499", "500", "501", "502", "503", "504", OTHER),
)
REQUEST_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper edges in seconds: an answer takes a tenth of a millisecond or more."""

MODEL_BUCKETS = (0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)
"""Upper edges in seconds: one row takes a small model ten microseconds."""

NOT_ANSWERED = ("429", "500", "503")
"""What every route says where it has no answer although nothing is wrong with the request: too many came at once, or
something of ours failed or is away. No route answers any other 5xx by itself."""

PLAIN = (names.OUTCOMES, names.TREATMENTS, names.JUDGE_UNANSWERED, names.SPOOL_LOST, names.WORKER_DEATHS)
"""Counters without labels."""


@dataclass(frozen=True)
class CountedModel:
    """What counting knows of a model.

    Attributes:
        label: Name and version, as the `model` label gives them.
        digest: Artifact digest.
        reference: How training looked.
        risks: Names of its risk bands.
    """

    label: str
    digest: str
    reference: Reference
    risks: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoringLayout:
    """The layout of a scoring worker, and those of its families that are counted by more than their labels.

    Attributes:
        layout: Of everything.
        requests: By route, method and status.
        request_seconds: By route.
        model_seconds: By model.
        features: Of live rows.
        scores: By each model's digest.
        exemplars: Of request_seconds.
    """

    layout: Layout
    requests: CounterFamily
    request_seconds: HistogramFamily
    model_seconds: HistogramFamily
    features: FeatureGrid
    scores: Mapping[str, ScoreGrid]
    exemplars: ExemplarGrid


def expected_requests(routes: Iterable[Route]) -> tuple[Series, ...]:
    """What is exported at 0 from the start, by route, method and status; the rest appears when it happens.

    Prometheus sees no increase in the first sample of a series: failures that come together, and are the first of a
    pod, would raise no alert if their series began with them. So whatever alerts and panels divide is there before it
    happens: successes, by which they divide with the others, what burns the budget of errors (5xx), and who was turned
    away (429). Any other 4xx is a client's mistake, by which nobody is called and nothing is divided; it may well
    begin with its first.

    Args:
        routes: Of which those count that score or take truths, which are many requests and what is promised; what
            people look at now and then would fill panels with lines at 0.
    """
    work = [route for route in routes if route.scope is not None and route.operation]
    return tuple(sorted((route.path, route.method, status) for route in work for status in _expected_of(route)))


def scoring_layout(
    contract: Contract, models: Sequence[CountedModel], paths: Sequence[str], expected: tuple[Series, ...] = ()
) -> ScoringLayout:
    """Lay out what a worker counts; the same arguments give the same slots, whatever their order.

    Args:
        contract: Whose rows are scored.
        models: Everyone that the Bento carries.
        paths: Of the routes.
        expected: Requests that are exported before they were counted, as `expected_requests` gives them; so are the
            durations of their routes, and those of every model.
    """
    models = sorted(models, key=lambda model: (model.label, model.digest))
    routes = (*sorted(set(paths)), UNMATCHED)
    labels = tuple(model.label for model in models)
    requests = CounterFamily(
        names.REQUESTS,
        ("route", "method", "status"),
        combinations(routes, (*sorted(METHODS), OTHER), STATUSES),
        at_zero=expected,
    )
    timed = tuple(dict.fromkeys(route for route, _, _ in expected))
    request_seconds = HistogramFamily(names.REQUEST_SECONDS, "route", routes, REQUEST_BUCKETS, at_zero=timed)
    model_seconds = HistogramFamily(names.MODEL_SECONDS, "model", labels, MODEL_BUCKETS)
    features = FeatureGrid("features", contract, tuple((model.label, model.reference) for model in models))
    scores = {model.digest: ScoreGrid(f"scores {model.digest}", model.label, model.reference.score) for model in models}
    exemplars = ExemplarGrid("exemplars", request_seconds.name, request_seconds.size)
    families: tuple[Family, ...] = (
        requests,
        request_seconds,
        _predictions(contract, labels),
        _risks(models),
        CounterFamily(names.CHALLENGER_FAILURES, ("model",), tuple((label,) for label in labels)),
        model_seconds,
        CounterFamily(names.MODEL_ROWS, ("model",), tuple((label,) for label in labels)),
        *(CounterFamily(name) for name in PLAIN),
        *scores.values(),
        *CUSTOMERS,
        features,
        exemplars,
    )
    return ScoringLayout(Layout(families), requests, request_seconds, model_seconds, features, scores, exemplars)


def _expected_of(route: Route) -> tuple[str, ...]:
    return (*(status for status in route.operation["responses"] if status.startswith("2")), *NOT_ANSWERED)


def _risks(models: Sequence[CountedModel]) -> CounterFamily:
    bands = [(variant, model.label, risk) for variant in get_args(Variant) for model in models for risk in model.risks]
    return CounterFamily(names.RISKS, ("variant", "model", "risk"), tuple(dict.fromkeys(bands)))


def _predictions(contract: Contract, models: Sequence[str]) -> CounterFamily:
    answers = (contract.labels.positive, contract.labels.negative)
    series = combinations(get_args(Variant), models, answers, get_args(Purpose))
    return CounterFamily(names.PREDICTIONS, ("variant", "model", "label", "purpose"), series)
