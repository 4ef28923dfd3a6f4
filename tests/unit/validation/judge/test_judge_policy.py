from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml
from judging import POLICY_TEXT, policy

from bentos.errors import InvalidPolicy, NotFound
from validation.judge.policy import load_policy, parse_policy

SHIPPED = Path(__file__).parents[4] / "validation" / "policies"


def changed(**changes) -> bytes:
    fields = yaml.safe_load(POLICY_TEXT) | changes
    return yaml.safe_dump({key: value for key, value in fields.items() if value is not ...}).encode()


def test_a_policy_is_read():
    assert parse_policy(POLICY_TEXT.encode()) == policy()


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
    others = {"metric": "profit", "claim": "superiority", "false_positive_cost": 2.0}
    for name, value in msgspec.structs.asdict(policy()).items():
        other = others[name] if name in others else value if name == "name" else value + 1
        differs = msgspec.structs.replace(policy(), **{name: other}).digest != policy().digest
        assert differs == (name != "name"), name
