from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from judging import POLICY_TEXT, policy

from bentos.errors import InvalidPolicy, NotFound
from validation.judge.policy import ArmRule, GroupRule, Limits, load_policy, parse_policy

SHIPPED = Path(__file__).parents[4] / "validation" / "policies"


GROUP = {"attribute": "SeniorCitizen", "margin": 0.05, "when_underpowered": "report"}
ARMS = {"better": "fewer", "margin": 0.02, "alpha": 0.05, "n_expected": 5000}
LIMITS = {"challenger_error_share": 0.01, "min_requests": 500}


def changed(**changes) -> bytes:
    fields = yaml.safe_load(POLICY_TEXT) | changes
    return yaml.safe_dump({key: value for key, value in fields.items() if value is not ...}).encode()


def test_a_policy_is_read():
    assert parse_policy(POLICY_TEXT.encode()) == policy()


def test_a_policy_with_every_section_is_read():
    sections = {"lineage_margin": 0.04, "groups": [GROUP], "outcome_by_arm": ARMS, "limits": LIMITS}
    found = parse_policy(changed(**sections))
    assert (found.margin_budget, found.harm_rules, found.groups[0].margin) == (0.04, 3, 0.05)
    assert (found.limits.window_seconds, found.outcome_by_arm.n_expected) == (3600, 5000)
    assert policy().margin_budget == policy().margin


def test_a_policy_from_before_there_were_such_sections_keeps_its_digest():
    """Golden: the digest that the Gauntlet of schema 2 gave it."""
    assert policy().digest == "sha256:dcbb3b66adac81a9d9ef575a3853edab26eae273819e9b9062afb1c03aebb0e4"


@pytest.mark.parametrize(
    ("written", "micros"), [("30d", 2592000e6), ("12 h", 43200e6), ("5min", 300e6), ("1s", 1e6), (90, 90e6), (0.5, 5e5)]
)
def test_durations_are_seconds_or_carry_a_unit(written, micros):
    assert parse_policy(changed(maturity_window=written)).maturity_window == micros


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"metric": "f1"}, "metric"),
        ({"claim": "better"}, "claim"),
        ({"unknown": 1}, "unknown"),
        ({"schema_version": 2}, "schema_version"),
        ({"margin": 0}, "margin"),
        ({"margin": 0.5}, "margin"),
        ({"margin": float("nan")}, "margin"),
        ({"claim": "superiority"}, "margin"),
        ({"alpha_promote": 0}, "alpha_promote"),
        ({"alpha_rollback": 0.6}, "alpha_rollback"),
        ({"alpha_srm": -1}, "alpha_srm"),
        ({"min_cohorts": 0}, "min_cohorts"),
        ({"min_matured": 0}, "min_matured"),
        ({"maturity_window": "a month"}, "maturity_window"),
        ({"cohort": 0}, "cohort"),
        ({"cohort": "-1d"}, "cohort"),
        ({"cohort": float("inf")}, "cohort"),
        ({"metric": "profit"}, "false_positive_cost"),
        ({"metric": "profit", "false_positive_cost": 0}, "false_positive_cost"),
        ({"false_positive_cost": 0.2}, "false_positive_cost"),
        ({"actions_follow_predictions": ...}, "actions_follow_predictions"),
        ({"alpha_promote": ...}, "alpha_promote"),
        ({"lineage_margin": 0.01}, "lineage_margin"),
        ({"lineage_margin": 0.5}, "lineage_margin"),
        ({"claim": "superiority", "margin": 0, "lineage_margin": 0.1}, "lineage_margin"),
        ({"groups": [{**GROUP, "margin": 0}]}, r"groups\[0\].margin"),
        ({"groups": [{**GROUP, "attribute": 'a"b'}]}, r"groups\[0\].attribute"),
        ({"groups": [{**GROUP, "attribute": "a\\nb"}]}, r"groups\[0\].attribute"),
        ({"groups": [{**GROUP, "attribute": ""}]}, r"groups\[0\].attribute"),
        ({"groups": [{**GROUP, "when_underpowered": "pass"}]}, "when_underpowered"),
        ({"groups": [{"attribute": "gender", "margin": 0.1}]}, "when_underpowered"),
        ({"groups": [GROUP, {**GROUP, "margin": 0.1}]}, "twice"),
        ({"outcome_by_arm": {**ARMS, "margin": 1}}, "outcome_by_arm.margin"),
        ({"outcome_by_arm": {**ARMS, "alpha": 0.5}}, "outcome_by_arm.alpha"),
        ({"outcome_by_arm": {**ARMS, "n_expected": 0}}, "outcome_by_arm.n_expected"),
        ({"outcome_by_arm": {**ARMS, "better": "less"}}, "better"),
        ({"limits": {"min_requests": 5}}, "limits has no limit"),
        ({"limits": {**LIMITS, "challenger_error_share": 1}}, "limits.challenger_error_share"),
        ({"limits": {**LIMITS, "latency_p99_ratio": 0}}, "limits.latency_p99_ratio"),
        ({"limits": {**LIMITS, "positive_share_change": 0}}, "limits.positive_share_change"),
        ({"limits": {**LIMITS, "min_requests": 0}}, "limits.min_requests"),
        ({"limits": {**LIMITS, "window_seconds": 0}}, "limits.window_seconds"),
        ({"limits": {**LIMITS, "unknown": 1}}, "unknown"),
    ],
)
def test_what_cannot_be_judged_by_is_refused_by_name(changes, named):
    with pytest.raises(InvalidPolicy, match=named):
        parse_policy(changed(**changes), "some.yaml")


@pytest.mark.parametrize("content", [b"", b"- 1", b"a: [", b"\xff"])
def test_a_file_that_is_no_policy_is_refused(content):
    with pytest.raises(InvalidPolicy, match=r"some\.yaml"):
        parse_policy(content, "some.yaml")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(NotFound, match=r"none\.yaml"):
        load_policy(tmp_path / "none.yaml")


def test_the_shipped_policies_can_be_judged_by():
    online, demo = load_policy(SHIPPED / "online.yaml"), load_policy(SHIPPED / "demo.yaml")
    assert (online.metric, online.min_cohorts, online.cohort) == ("profit", 14, 86_400_000_000)
    assert (demo.metric, demo.margin, demo.min_cohorts, demo.cohort) == ("accuracy", 0.02, 1, 1_000_000)
    assert online.maturity_window == demo.maturity_window == 30 * 86_400_000_000


def test_the_digest_follows_every_rule_and_not_the_name():
    assert policy(name="other").digest == policy().digest
    others = {
        "metric": "profit",
        "claim": "superiority",
        "false_positive_cost": 2.0,
        "lineage_margin": 0.05,
        "groups": (GroupRule(attribute="gender", margin=0.05, when_underpowered="wait"),),
        "outcome_by_arm": ArmRule(better="fewer", margin=0.02, alpha=0.05, n_expected=5000),
        "limits": Limits(challenger_error_share=0.01, min_requests=100),
    }
    for name, value in msgspec.structs.asdict(policy()).items():
        other = others[name] if name in others else value if name == "name" else value + 1
        differs = msgspec.structs.replace(policy(), **{name: other}).digest != policy().digest
        assert differs == (name != "name"), name
