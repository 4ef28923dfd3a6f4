"""The rules of drift hold for any contract, and read nothing that nobody records."""

from __future__ import annotations

import re

import pytest

from grafana.drift import DEFAULT, drift_groups
from grafana.drift.chance import quantile, quantile_bound, quantile_table, standard_errors
from grafana.drift.settings import DriftSettings, Window
from grafana.rule_files import Alert, Recording
from service import metric_names as names
from validation.statistics import psi_limit, share_limit

RULES = [rule for group in drift_groups(DEFAULT) for rule in group.rules]
AGREED = (
    *("feature_bin:increase", "feature:n", "feature_bin:share", "feature:psi", "feature:psi_limit", "feature:js"),
    *("feature:ks", "feature:missing_ratio", "feature:unseen_ratio", "score_bin:increase", "score_bin:share"),
    *("score:n", "score:psi", "score:psi_limit", "score:js", "score:ks", "score:mean", "score:mean_shift"),
    *("score:mean_shift_low", "score:mean_shift_high", "predictions:positive_ratio"),
)
"""What dashboards read of each window."""


def test_every_series_that_is_read_is_recorded_before_it_is_read() -> None:
    recorded: set[str] = set()
    for rule in RULES:
        read = set(re.findall(r"gauntlet:[a-z0-9_]+:[a-z0-9_]+", rule.expr))
        assert read <= recorded, rule
        if isinstance(rule, Recording):
            recorded.add(rule.record)


def test_every_metric_that_is_read_is_exported_by_scoring() -> None:
    read = {name for rule in RULES for name in re.findall(r"gauntlet_[a-z_]+", rule.expr)}
    assert {name.removesuffix("_sum") for name in read} <= set(names.HELP)


def test_the_series_that_dashboards_read_are_there() -> None:
    recorded = {rule.record for rule in RULES if isinstance(rule, Recording)}
    expected = {f"gauntlet:{name}{window.name}" for name in AGREED for window in DEFAULT.windows}
    assert expected | {"gauntlet:score:mean_reference"} <= recorded


def test_every_alert_names_its_window() -> None:
    alerts = [rule for rule in RULES if isinstance(rule, Alert)]
    assert {(alert.alert, alert.labels["window"]) for alert in alerts} == {
        (name, window.name) for name in {alert.alert for alert in alerts} for window in DEFAULT.windows
    }


@pytest.mark.parametrize("window", DEFAULT.windows, ids=lambda window: window.name)
def test_quantiles_are_those_of_the_store(window: Window) -> None:
    level = DEFAULT.level(window)
    for bins in (2, 11, DEFAULT.most_bins):
        expected = psi_limit(2, 2, bins, level, estimated_from=names.HASH_BITS)  # a variance of 1
        assert quantile(bins, level) == pytest.approx(expected)
        assert f'vector({expected:.12g}), "bins", "{bins}"' in quantile_table(window, DEFAULT)
    half = share_limit(0.5, 1, 0.5, 1, level, estimated_from=names.HASH_BITS)  # of variance 1/2
    assert standard_errors(window, DEFAULT) == pytest.approx(half * 2**0.5)


@pytest.mark.parametrize("bins", [51, 100, 1000])
def test_above_the_table_a_bound_takes_the_quantiles_place_and_is_not_below_it(bins: int) -> None:
    window = DEFAULT.base
    text = quantile_bound("B", window, DEFAULT).replace(f"(B > {DEFAULT.most_bins})", str(bins))
    found = eval(text, {"sqrt": lambda x: x**0.5})
    assert quantile(bins, DEFAULT.level(window)) < found < 3 * quantile(bins, DEFAULT.level(window))


def test_shorter_windows_make_the_same_rules_under_other_names() -> None:
    settings = DriftSettings(base=Window("20s", "4s"), longer=(Window("1m", "4s"), Window("2m", "4s")), interval="2s")
    rules = [rule for group in drift_groups(settings) for rule in group.rules]
    assert len(rules) == len(RULES)
    recorded = {rule.record for rule in rules if isinstance(rule, Recording)}
    assert {"gauntlet:feature:psi20s", "gauntlet:feature:psi1m", "gauntlet:feature:psi2m"} <= recorded
