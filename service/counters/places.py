"""Where each label combination is counted: looked up once when a worker starts, so that counting is one look-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from service import metric_names as names
from service.counters.layout import CounterFamily, HistogramFamily, Series
from service.counters.scoring import OTHER, CountedModel, ScoringLayout
from service.http.application import UNMATCHED
from service.prediction_log.records import Variant

_BY_THEMSELVES = (names.REQUESTS, names.PREDICTIONS, names.RISKS)
"""Counters whose slots are found by what is at hand, which are not their labels."""


@dataclass(frozen=True)
class Timed:
    """The slots of one histogram's series: of its buckets from `start` on, and of its sum."""

    start: int
    total: int


@dataclass(frozen=True)
class Graded:
    """The slots of one model's probabilities in one role, and the edges between its cells."""

    start: int
    total: int
    edges: tuple[float, ...]


@dataclass(frozen=True)
class Places:
    """The slots of a scoring worker by what is at hand when something is counted.

    Attributes:
        requests: By route, method and status.
        request_seconds: By route.
        predictions: By variant, the model's digest, label and purpose.
        risks: By variant, the model's digest and risk band.
        failures: By the challenger's digest.
        calls: By the model's digest.
        rows: By the model's digest.
        scores: By variant, which is the role that the model scored in, then by the model's digest.
        others: By metric and label values.
    """

    requests: Mapping[tuple[str, str, int | str], int]
    request_seconds: Mapping[str, Timed]
    predictions: Mapping[tuple[str, str, str, str], int]
    risks: Mapping[tuple[str, str, str], int]
    failures: Mapping[str, int]
    calls: Mapping[str, Timed]
    rows: Mapping[str, int]
    scores: Mapping[Variant, Mapping[str, Graded]]
    others: Mapping[tuple[str, Series], int]

    def unexpected(self, route: str, method: str, status: int) -> int:
        """The slot of a request that has none of its own: what is not known of it counts as such."""
        path = route if route in self.request_seconds else UNMATCHED
        for key in ((path, method, status), (path, method, OTHER), (path, OTHER, status)):
            if key in self.requests:
                return self.requests[key]
        return self.requests[path, OTHER, OTHER]


def places_of(found: ScoringLayout, models: Sequence[CountedModel]) -> Places:
    """The slots of a layout for these models."""
    slots = {
        (family.name, series): found.layout.starts[family.name] + i
        for family in found.layout.families
        if isinstance(family, CounterFamily)
        for i, series in enumerate(family.series)
    }
    calls = _timed(found.model_seconds, found.layout.starts)
    return Places(
        requests={
            (route, method, int(status) if status.isdigit() else status): slot
            for (name, (route, method, status)), slot in _of(names.REQUESTS, slots)
        },
        request_seconds=_timed(found.request_seconds, found.layout.starts),
        predictions={
            (variant, model.digest, label, purpose): slot
            for (_, (variant, version, label, purpose)), slot in _of(names.PREDICTIONS, slots)
            for model in models
            if model.label == version
        },
        risks={
            (variant, model.digest, risk): slot
            for (_, (variant, version, risk)), slot in _of(names.RISKS, slots)
            for model in models
            if model.label == version
        },
        failures={model.digest: slots[names.CHALLENGER_FAILURES, (model.label,)] for model in models},
        calls={model.digest: calls[model.label] for model in models},
        rows={model.digest: slots[names.MODEL_ROWS, (model.label,)] for model in models},
        scores={
            variant: {
                digest: _graded(found, variant, digest)
                for digest, grid in found.scores.items()
                if variant in grid.variants
            }
            for variant in get_args(Variant)
        },
        others={key: slot for key, slot in slots.items() if key[0] not in _BY_THEMSELVES},
    )


def _of(name: str, slots: Mapping[tuple[str, Series], int]) -> list[tuple[tuple[str, Series], int]]:
    return [(key, slot) for key, slot in slots.items() if key[0] == name]


def _timed(family: HistogramFamily, starts: Mapping[str, int]) -> dict[str, Timed]:
    first, edges = starts[family.name], len(family.edges)
    places = range(first, first + family.size, family.stride)
    return {one: Timed(at, at + edges + 1) for one, at in zip(family.series, places, strict=True)}


def _graded(found: ScoringLayout, variant: Variant, digest: str) -> Graded:
    grid = found.scores[digest]
    first = found.layout.starts[grid.name]
    return Graded(first + grid.start(variant), first + grid.total_at(variant), grid.edges)
