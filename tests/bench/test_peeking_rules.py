"""What fools a naive test does not move the rules of the verdict: both sides, on simulated experiments."""

import numpy as np
import pytest
from scipy.stats import binom

from tests.bench.peeking import rules, scenarios
from tests.bench.type_one import all_tried, main
from validation.statistics import payoff_log_wealth

RUNS = 300
MOST = int(binom.ppf(0.999, RUNS, rules.ALPHA))
"""Errors that a rule of level 5 % exceeds in one of a thousand such tests."""


@pytest.fixture(scope="module")
def found():
    return {(one.scenario, one.rule): one for one in all_tried(RUNS, seed=1)}


def test_every_rule_of_the_verdict_keeps_its_level_whatever_happens(found):
    ours = [one for one in found.values() if one.is_ours and one.is_error]
    assert len(ours) >= 15
    for one in ours:
        assert one.rejected <= binom.ppf(0.999, one.runs, rules.ALPHA), one


@pytest.mark.parametrize(
    ("scenario", "naive"),
    [
        ("churn is told first; 2 points worse", "F2c on what is seen, better"),
        ("churn is told first; 2 points worse", "McNemar at every look"),
        ("half of the losses go missing; 2 points worse", "McNemar at every look"),
        ("offers follow the champion's flag; equal", "F2c on what is seen, better"),
        ("never flags; offers follow the champion's flag", "F2c without the treated, not worse by 0.02"),
        ("a higher cut; 2.9 points less profit", "F2c in accuracy, not worse by 0.01"),
        ("A/A", "McNemar at every look"),
        ("A/A", "two-proportion z at every look"),
        ("A/A, each scored 5 times", "F2c, every row"),
        ("20 equal challengers in a row", "F2c at a fixed level, any promoted"),
    ],
)
def test_what_fools_a_naive_test(found, scenario, naive):
    one = found[scenario, naive]
    assert not one.is_ours
    assert one.rejected > binom.ppf(0.999, one.runs, rules.ALPHA), one


def test_what_is_true_is_found(found):
    assert found["equal", "F2c, not worse by 0.02"].rate > 0.9
    assert found["better by 0.02", "F2c, better"].rate > 0.9
    assert found["worse by 0.03", "F2c, harm"].rate > 0.95
    assert found["a higher cut; 2.9 points less profit", "F2c in profit, harm beyond 0.01"].rate > 0.95


def test_many_at_once_are_what_one_is():
    rng = np.random.default_rng(0)
    experiment = scenarios.paired(rng, 3, 0.01)
    rejected = rules.betting(experiment, 0.01)
    for run, look in ((0, 5), (1, 30), (2, 59)):
        wins, ties, losses = (
            int(counts[run, : look + 1].sum()) for counts in (experiment.wins, experiment.ties, experiment.losses)
        )
        log_e = payoff_log_wealth({1: wins, 0.5: ties, 0: losses}, (1 - 0.01) / 2)
        assert rejected[run, look] == (log_e >= np.log(1 / rules.ALPHA))


def test_every_customer_of_a_cohort_is_counted():
    rng = np.random.default_rng(0)
    for draw in (scenarios.alternating, scenarios.rising, scenarios.shocks, scenarios.early_labels):
        experiment = draw(rng, 4)
        assert (experiment.wins + experiment.ties + experiment.losses == scenarios.CUSTOMERS).all()


def test_the_command_prints_both_tables(capsys):
    assert main(["--runs", "40"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("| --- |") == 2
    assert "**F2c, better**" in printed
