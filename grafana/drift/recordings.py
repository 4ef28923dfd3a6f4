"""Recorded series of drift: what was counted in each window, its distance from training, and what chance explains.

A window's counts are the counter now less the counter then, for every pod that was there at both moments and whose
counters did not begin anew in between; `increase()` says it of the others. Windows therefore join without a gap or an
overlap, and counts are whole numbers: `increase()` alone never sees what was counted between the last sample before a
window and the first in it, and scales the rest up. A new pod shows all its bins at 0 before it is asked anything, so
that `increase()` sees its first row too.

Longer windows are sums of what the base recorded at moments one base apart. A week of raw samples is 40,000 a series,
for some hundred series a pod, at every look; its recorded sums are 168, one series for all pods. Of an hour at whose
end Prometheus was away for five minutes nothing is recorded: the longer windows miss it, in n as in every bin.
"""

from __future__ import annotations

from dataclasses import dataclass

from grafana.drift.chance import quantile_bound, quantile_table, standard_errors
from grafana.drift.settings import DriftSettings, Window
from grafana.rule_files import Recording
from service import metric_names as names

LOOKBACK_SECONDS = 300
"""How old a sample may be that Prometheus takes for the value at a moment, unless it is told otherwise."""

MODEL = "namespace, model"
ODD_BINS = ("missing", "unseen")


@dataclass(frozen=True)
class Distribution:
    """What is counted in bins.

    Attributes:
        name: `feature` or `score`, as series are called.
        counter: Counts of what came.
        reference: Counts of training.
        by: The labels of one distribution.
    """

    name: str
    counter: str
    reference: str
    by: str

    @property
    def by_bin(self) -> str:
        """The labels of one bin."""
        return f"{self.by}, bin"

    def of(self, what: str, window: Window | None = None) -> str:
        """The name of a series of the whole distribution."""
        return f"gauntlet:{self.name}:{what}{window.name if window else ''}"

    def bin(self, what: str, window: Window | None = None) -> str:
        """The name of a series of its bins."""
        return f"gauntlet:{self.name}_bin:{what}{window.name if window else ''}"


FEATURE = Distribution("feature", names.FEATURE_BINS, names.FEATURE_REFERENCE, f"{MODEL}, feature")
SCORE = Distribution("score", names.SCORE_BINS, names.SCORE_REFERENCE, MODEL)


def reference_recordings(settings: DriftSettings) -> list[Recording]:
    """What does not depend on the window: training's counts and shares, one series for all pods."""
    found = [rule for one in (FEATURE, SCORE) for rule in _reference(one)]
    tables = {settings.base: "base", settings.longer[0]: "longer"} if settings.longer else {settings.base: "base"}
    found += [
        Recording(f"gauntlet:bins:quantile_{name}", quantile_table(window, settings)) for window, name in tables.items()
    ]
    return [*found, Recording(SCORE.of("mean_reference"), f"max by ({MODEL}) ({names.SCORE_REFERENCE_MEAN})")]


def recordings_of(window: Window, settings: DriftSettings) -> list[Recording]:
    """Everything of one window, in the order in which it is read."""
    counts = [
        _counted(FEATURE.bin("increase", window), FEATURE.by_bin, FEATURE.counter, window, settings),
        _counted(SCORE.bin("increase", window), SCORE.by_bin, SCORE.counter, window, settings),
        _counted(SCORE.of("sum", window), MODEL, f"{names.PROBABILITY}_sum", window, settings),
        _counted(
            f"gauntlet:predictions:increase{window.name}",
            f"{MODEL}, label",
            f'{names.PREDICTIONS}{{purpose="live"}}',
            window,
            settings,
        ),
        _counted(
            f"gauntlet:customer_bit:increase{window.name}", "namespace, bit", names.CUSTOMER_BITS, window, settings
        ),
        _counted(f"gauntlet:customers:n{window.name}", "namespace", names.CUSTOMER_ROWS, window, settings),
    ]
    totals = [
        Recording(one.of("n", window), f"sum by ({one.by}) ({one.bin('increase', window)})") for one in (FEATURE, SCORE)
    ]
    distances = [rule for one in (FEATURE, SCORE) for rule in _distances(one, window, settings)]
    odd = [rule for name in ODD_BINS for rule in _odd_bin(name, window, settings)]
    worth = [_customers_worth(one, window, settings) for one in (FEATURE, SCORE)]
    return [
        *counts,
        *totals,
        _repeats(window),
        *worth,
        *distances,
        *odd,
        *_mean(window, settings),
        _positive(window, settings),
    ]


def counted_in(metric: str, by: str, window: Window) -> str:
    """PromQL for how much counters rose in a window, over all pods."""
    long = f"{window.seconds + LOOKBACK_SECONDS}s"
    return (
        f"sum by ({by}) (\n"
        f"  ({metric} - {metric} offset {window.name} unless resets({metric}[{long}]) > 0)\n"
        f"  or increase({metric}[{window.name}])\n"
        ")"
    )


def _counted(record: str, by: str, metric: str, window: Window, settings: DriftSettings) -> Recording:
    if window == settings.base:
        return Recording(record, counted_in(metric, by, window))
    recorded = record.removesuffix(window.name) + settings.base.name
    # A millisecond less keeps the moment at the window's very begin out, which Prometheus 2 takes in and 3 does not.
    length = f"{1000 * window.seconds - 1}ms"
    return Recording(record, f"sum_over_time({recorded}[{length}:{settings.base.name}])")


def _reference(one: Distribution) -> list[Recording]:
    rows = one.bin("reference")
    total, bins = f"sum by ({one.by}) ({rows})", f"count by ({one.by}) ({rows})"
    return [
        Recording(rows, f"max by ({one.by_bin}) ({one.reference})"),
        # Apart: pods of a Gauntlet before the label export the same bins without it, and must not count them twice.
        Recording(one.bin("ordered_reference"), f'max by ({one.by_bin}, order) ({one.reference}{{order!=""}})'),
        Recording(one.of("reference_n"), f"{total} > 0"),
        # What had one value in training has one bin, and whether it moved cannot be counted there.
        Recording(one.of("bins"), f"{bins} > 1"),
        Recording(
            one.bin("reference_share"),
            f"(sum by ({one.by_bin}) ({rows}) + 0.5)\n"
            f"/ on ({one.by}) group_left () ({one.of('reference_n')} + 0.5 * {one.of('bins')})",
        ),
    ]


def _distances(one: Distribution, window: Window, settings: DriftSettings) -> list[Recording]:
    n, share, reference = one.of("n", window), one.bin("share", window), one.bin("reference_share")
    return [
        Recording(
            share,
            f"({one.bin('increase', window)} + 0.5)\n"
            f"/ on ({one.by}) group_left () (({n} >= {settings.rows}) + 0.5 * {one.of('bins')})",
        ),
        Recording(one.of("psi", window), f"sum by ({one.by}) (({share} - {reference}) * ln({share} / {reference}))"),
        Recording(one.of("psi_limit", window), _psi_limit(one, window, settings)),
        Recording(
            one.of("js", window),
            f"sum by ({one.by}) (\n"
            f"  0.5 * {share} * log2(2 * {share} / ({share} + {reference}))\n"
            f"  + 0.5 * {reference} * log2(2 * {reference} / ({share} + {reference}))\n"
            ")",
        ),
        *_kolmogorov_smirnov(one, window, settings),
    ]


def _customers_worth(one: Distribution, window: Window, settings: DriftSettings) -> Recording:
    """How many rows of different customers the rows are worth: there must be enough to know how far chance reaches."""
    worth = f"{one.of('n', window)} / on (namespace) group_left () {repeats_in(window)}"
    return Recording(one.of("customers_worth", window), f"{worth} >= {settings.rows}")


def _psi_limit(one: Distribution, window: Window, settings: DriftSettings) -> str:
    """The larger of what matters and of what chance explains, in the window's rows and in training's."""
    table = "base" if window == settings.base else "longer"
    return (
        "clamp_min(\n"
        "  (\n"
        f'    max by ({one.by}) (count_values by ({one.by}) ("bins", {one.of("bins")})'
        f" * on (bins) group_left () gauntlet:bins:quantile_{table})\n"
        f"    or {quantile_bound(one.of('bins'), window, settings)}\n"
        "  ) * (\n"
        f"    1 / {one.of('customers_worth', window)} + 1 / {one.of('reference_n')}\n"
        "  ),\n"
        f"  {settings.psi_size:g}\n"
        ")"
    )


def _kolmogorov_smirnov(one: Distribution, window: Window, settings: DriftSettings) -> list[Recording]:
    """The largest difference between the shares below a border, over the borders of bins that have an order."""
    rows, ordered = one.bin("ordered_reference"), one.bin("ordered", window)
    difference = one.bin("ordered_difference", window)
    borders = "\n  or\n".join(_below(difference, one.by, place) for place in range(settings.most_ordered - 1))
    too_many = f'{rows}{{order="{settings.most_ordered}"}}'
    return [
        Recording(ordered, f"({rows} * 0 + 1) * on ({one.by_bin}) group_left () {one.bin('increase', window)}"),
        Recording(
            difference,
            f"{ordered} / on ({one.by}) group_left () (sum by ({one.by}) ({ordered}) > 0)\n"
            f"- {rows} / on ({one.by}) group_left () (sum by ({one.by}) ({rows}) > 0)",
        ),
        Recording(
            one.of("ks", window),
            f"max by ({one.by}) (\n{borders}\n)\n"
            f"and {one.of('n', window)} >= {settings.rows} unless on ({one.by}) {too_many}",
        ),
    ]


def _below(difference: str, by: str, place: int) -> str:
    """How far the shares up to a place in the order are apart, with a label that keeps it apart from other places."""
    places = "|".join(str(one) for one in range(place + 1))
    return f'  label_replace(abs(sum by ({by}) ({difference}{{order=~"{places}"}})), "border", "{place}", "", "")'


def _odd_bin(name: str, window: Window, settings: DriftSettings) -> list[Recording]:
    """Of the bin `missing` or `unseen`: its share, its rise since training, and what chance explains of that."""
    size = {"missing": settings.missing_size, "unseen": settings.unseen_size}[name]
    own = f'{{bin="{name}"}}'
    share, before = (
        f"sum without (bin) ({FEATURE.bin(what, w)}{own})" for what, w in (("share", window), ("reference_share", None))
    )
    n = FEATURE.of("n", window)
    variance = (
        f"{share} * (1 - {share}) / {FEATURE.of('customers_worth', window)}\n"
        f"    + {before} * (1 - {before}) / {FEATURE.of('reference_n')}"
    )
    return [
        Recording(
            FEATURE.of(f"{name}_ratio", window),
            f"sum without (bin) ({FEATURE.bin('increase', window)}{own}) / ({n} >= {settings.rows})",
        ),
        Recording(FEATURE.of(f"{name}_rise", window), f"{share} - {before}"),
        Recording(
            FEATURE.of(f"{name}_limit", window),
            f"clamp_min(\n  {standard_errors(window, settings)!r} * sqrt(\n    {variance}\n  ),\n  {size:g}\n)",
        ),
    ]


def _mean(window: Window, settings: DriftSettings) -> list[Recording]:
    """The mean probability, how far it is from training's, and an interval that chance leaves once a year at most.

    A number in [0, 1] with mean m has variance at most m (1 - m), whatever its distribution (Bhatia and Davis 2000):
    the interval is wider than it could be, and never too narrow.
    """
    mean, before, n = SCORE.of("mean", window), SCORE.of("mean_reference"), SCORE.of("n", window)
    half = (
        f"{standard_errors(window, settings)!r} * sqrt(\n"
        f"  {mean} * (1 - {mean}) / {SCORE.of('customers_worth', window)}\n"
        f"  + {before} * (1 - {before}) / {SCORE.of('reference_n')}\n"
        ")"
    )
    return [
        Recording(mean, f"clamp({SCORE.of('sum', window)} / ({n} >= {settings.rows}), 0, 1)"),
        Recording(SCORE.of("mean_shift", window), f"{mean} - {before}"),
        Recording(SCORE.of("mean_shift_low", window), f"{SCORE.of('mean_shift', window)} - {half}"),
        Recording(SCORE.of("mean_shift_high", window), f"{SCORE.of('mean_shift', window)} + {half}"),
    ]


def _repeats(window: Window) -> Recording:
    """Rows of a customer, weighted by rows: the sum of m^2 over the sum of m, from bits of hashes (tug of war).

    Rows that name nobody count as one each: where nobody is named it is 1, as nothing is known of who comes back.
    """
    rows = f"gauntlet:customers:n{window.name}"
    balance = f"2 * gauntlet:customer_bit:increase{window.name} - on (namespace) group_left () {rows}"
    return Recording(
        repeats_in(window),
        f"clamp_min(avg by (namespace) (({balance}) ^ 2) / ({rows} > 0), 1)\n"
        f"or max by (namespace) ({FEATURE.of('n', window)} or {SCORE.of('n', window)}) * 0 + 1",
    )


def repeats_in(window: Window) -> str:
    """The name of the series that says how often customers came back."""
    return f"gauntlet:customers:repeats{window.name}"


def _positive(window: Window, settings: DriftSettings) -> Recording:
    answered = f"gauntlet:predictions:increase{window.name}"
    positive = f'max by ({MODEL}, label) (label_replace({names.MODEL_INFO}, "label", "$1", "positive", "(.+)"))'
    return Recording(
        f"gauntlet:predictions:positive_ratio{window.name}",
        f"sum by ({MODEL}) ({answered} * on ({MODEL}, label) group_left () {positive})\n"
        f"/ (sum by ({MODEL}) ({answered}) >= {settings.rows})",
    )
