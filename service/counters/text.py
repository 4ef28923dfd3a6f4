"""Prometheus's text form, version 0.0.4: lines whose beginnings never change are made once, and values are put behind.

prometheus-client would make the same text in 13 ms a thousand lines, during which no request is answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from bentos.artifact import Binned
from service import metric_names as names
from service.counters.exemplars import ExemplarGrid
from service.counters.features import FeatureGrid
from service.counters.layout import CounterFamily, HistogramFamily, Layout
from service.counters.scores import BUCKETS, ScoreGrid

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Values = Sequence[float]
Render = Callable[[Values], Iterator[str]]
Labels = Mapping[str, str]


def head(name: str, kind: str, explanation: str = "") -> str:
    """The two lines before a family's samples; without an explanation, ours."""
    text = (explanation or names.HELP[name]).replace("\\", r"\\").replace("\n", r"\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}"


def start_of(name: str, labels: Labels) -> str:
    """A sample's line up to its value."""
    inside = ",".join(f'{key}="{_escape(value)}"' for key, value in labels.items())
    return f"{name}{{{inside}}} " if inside else f"{name} "


def gauge(name: str, *samples: tuple[Labels, float]) -> Iterator[str]:
    """The lines of a gauge."""
    yield head(name, "gauge")
    for labels, value in samples:
        yield f"{start_of(name, labels)}{float(value)!r}"


def renderer(layout: Layout) -> Callable[[Values], Iterator[str]]:
    """What turns a layout's sums into lines."""
    parts: list[tuple[int, int, Render]] = []
    scores: list[tuple[int, ScoreGrid]] = []
    for family in layout.families:
        start = layout.starts[family.name]
        if isinstance(family, ScoreGrid):
            scores.append((start, family))
        elif not isinstance(family, ExemplarGrid):  # exemplars stand behind other families' lines
            parts.append((start, start + family.size, _render(family)))
    of_scores = _scores(scores)

    def render(sums: Values) -> Iterator[str]:
        for start, end, lines in parts:
            yield from lines(sums[start:end])
        yield from of_scores(sums)

    return render


def bucket_starts(family: HistogramFamily) -> dict[int, str]:
    """The lines of a histogram's buckets up to their values, by the buckets' places among its slots."""
    return {
        place: start
        for at, one in zip(range(0, family.size, family.stride), family.series, strict=True)
        for place, start in enumerate(_bucket_starts(family.name, {family.label: one}, family.edges)[:-2], at)
    }


def _render(family: CounterFamily | HistogramFamily | FeatureGrid) -> Render:
    if isinstance(family, CounterFamily):
        return _counter(family)
    return _histogram(family) if isinstance(family, HistogramFamily) else _features(family)


def _counter(family: CounterFamily) -> Render:
    heading = head(family.name, "counter")
    starts = [start_of(family.name, dict(zip(family.labels, one, strict=True))) for one in family.series]
    at_zero = set(family.series if family.at_zero is None else family.at_zero)
    always = [one in at_zero for one in family.series]

    def lines(values: Values) -> Iterator[str]:
        yield heading
        for start, is_always, value in zip(starts, always, values, strict=True):
            if value or is_always:
                yield f"{start}{value!r}"

    return lines


def _histogram(family: HistogramFamily) -> Render:
    heading = head(family.name, "histogram")
    starts = [_bucket_starts(family.name, {family.label: one}, family.edges) for one in family.series]
    always = [family.at_zero is None or one in family.at_zero for one in family.series]

    def lines(values: Values) -> Iterator[str]:
        yield heading
        for at, beginnings, is_always in zip(range(0, len(values), family.stride), starts, always, strict=True):
            *cells, total = values[at : at + family.stride]
            counted = list(accumulate(cells))
            if counted[-1] or is_always:
                yield from _put(beginnings, [*counted, counted[-1], total])

    return lines


def _scores(grids: Sequence[tuple[int, ScoreGrid]]) -> Render:
    """The histogram of probabilities of all models, then the bins of all, as one family's lines stand together."""
    starts = [
        [_bucket_starts(names.PROBABILITY, {"variant": one, "model": grid.model}, BUCKETS) for one in grid.variants]
        for _, grid in grids
    ]
    reference = _score_reference([grid for _, grid in grids])

    def lines(sums: Values) -> Iterator[str]:
        own = [sums[start : start + grid.size] for start, grid in grids]
        yield head(names.PROBABILITY, "histogram")
        for of_roles, (_, grid), values in zip(starts, grids, own, strict=True):
            for beginnings, variant in zip(of_roles, grid.variants, strict=True):
                counted = grid.buckets(values, variant)
                yield from _put(beginnings, [*counted, counted[-1], grid.total(values, variant)])
        yield head(names.SCORE_BINS, "counter")
        for (_, grid), values in zip(grids, own, strict=True):
            for name, value in zip(grid.reference.bins, grid.bins(values), strict=False):
                yield f"{start_of(names.SCORE_BINS, {'model': grid.model, 'bin': name})}{float(value)!r}"
        yield from reference

    return lines


def _score_reference(grids: Sequence[ScoreGrid]) -> list[str]:
    """How training's probabilities were distributed, and their mean where it is known."""
    rows = [
        ({"model": grid.model, "bin": name, **_order(grid.reference, name)}, float(n))
        for grid in grids
        for name, n in zip(grid.reference.bins, grid.reference.counts, strict=True)
    ]
    means = [({"model": grid.model}, grid.reference.mean) for grid in grids]
    known = [(labels, mean) for labels, mean in means if mean is not None]
    return [*gauge(names.SCORE_REFERENCE, *rows), *gauge(names.SCORE_REFERENCE_MEAN, *known)]


def _features(grid: FeatureGrid) -> Render:
    """The bins of all models, what training had in them, and the sums of numbers."""
    distributions = [(model, binned) for model, reference in grid.references for binned in reference.features]
    keys = [(model, binned, name) for model, binned in distributions for name in dict.fromkeys(binned.bins)]
    starts = [start_of(names.FEATURE_BINS, _bin_labels(*key)) for key in keys]
    sums = [start_of(names.FEATURE_SUM, {"feature": number.name}) for number in grid.numbers]
    rows = [({**_bin_labels(*key), **_order(*key[1:])}, _rows_in(*key[1:])) for key in keys]
    reference = list(gauge(names.FEATURE_REFERENCE, *rows))

    def lines(values: Values) -> Iterator[str]:
        yield head(names.FEATURE_BINS, "counter")
        yield from _put(starts, (n for _, binned in distributions for n in grid.bins(binned, values).values()))
        yield from reference
        yield head(names.FEATURE_SUM, "counter")
        yield from _put(sums, (number.above_minimum(values) for number in grid.numbers))

    return lines


def _rows_in(binned: Binned, name: str) -> float:
    return float(sum(rows for one, rows in zip(binned.bins, binned.counts, strict=True) if one == name))


def _order(binned: Binned, name: str) -> Labels:
    """A bin's place among those that have an order: what adds them up cannot read it from their names."""
    return {"order": str(binned.ordered.index(name))} if name in binned.ordered else {}


def _bin_labels(model: str, binned: Binned, name: str) -> Labels:
    return {"model": model, "feature": binned.name, "bin": name}


def _bucket_starts(name: str, labels: Labels, edges: Sequence[float]) -> list[str]:
    buckets = [start_of(f"{name}_bucket", {**labels, "le": str(edge)}) for edge in (*edges, "+Inf")]
    return [*buckets, start_of(f"{name}_count", labels), start_of(f"{name}_sum", labels)]


def _put(starts: Iterable[str], values: Iterable[float]) -> Iterator[str]:
    return (f"{start}{float(value)!r}" for start, value in zip(starts, values, strict=True))


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
