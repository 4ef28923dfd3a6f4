import os
from pathlib import Path

import msgspec
import pytest

from bentos.artifact import sha256
from bentos.errors import InvalidPolicy, NotFound
from bentos.strict_yaml import dump_yaml
from validation.gate.checks import KINDS
from validation.gate.defaults import POLICIES
from validation.gate.policy import Policy, allowed_in, load_policy, parse_policy
from validation.judge.policy import load_policy as load_online_policy

ACCURACY = {"kind": "performance", "metric": "accuracy", "at_least": 0.75, "judge_by": "point"}
LOSS = {"kind": "performance", "metric": "ece", "at_most": 0.05, "judge_by": "point"}
GAP = {"kind": "accuracy_gap", "attributes": ["gender"], "at_most": 0.1, "judge_by": "point"}
NOISE = {"kind": "noise", "deviations": [0.1], "accuracy_drop_below": 0.1, "judge_by": "point"}
MCNEMAR = {"kind": "mcnemar", "alpha": 0.05}


def policy(*rules, **changes):
    found = {"name": "p", "description": "d", "seed": 1, "valid_days": 30, "rules": list(rules), **changes}
    return {key: value for key, value in found.items() if value is not None}


def parse(found):
    return parse_policy(dump_yaml(found), "p.yaml")


def test_a_policy_with_every_kind_of_rule_is_read():
    found = parse(policy(ACCURACY, GAP, NOISE, MCNEMAR))
    assert [rule.kind for rule in found.rules] == ["performance", "accuracy_gap", "noise", "mcnemar"]
    assert found.rules[2].draws == 20
    assert not found.bootstrap


def test_all_protected_attributes_can_be_asked_for():
    assert parse(policy({**GAP, "attributes": "all"})).rules[0].attributes == "all"


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (
            policy({**ACCURACY, "metric": "acuracy"}),
            r"rules\[0\] \(performance\): metric is 'acuracy'; .* accuracy, balanced",
        ),
        (policy({**ACCURACY, "at_least": 0}), "at_least is 0; it must be above 0, or it never fails"),
        (policy({**ACCURACY, "at_least": 1.01}), "at_least is 1.01; .* at most 1"),
        (policy({**ACCURACY, "at_least": float("nan")}), "at_least is nan"),
        (policy({**ACCURACY, "at_least": "high"}), "at_least is 'high'; it must be a number"),
        (policy({**ACCURACY, "at_least": True}), "at_least is True; it must be a number"),
        (policy({**ACCURACY, "judge_by": "eye"}), "judge_by is 'eye'; it must be point or interval"),
        (
            policy({**ACCURACY, "on_inconclusive": "pass"}),
            "on_inconclusive is 'pass'; it must be block, shadow or point",
        ),
        (policy({**ACCURACY, "on_inconclusive": "point"}), "with judge_by point nothing is inconclusive: leave it out"),
        (
            policy({**ACCURACY, "judge_by": "interval", "on_inconclusive": "shadow"}),
            "live customers settle comparisons with the champion alone, so here it must be block or point",
        ),
        (policy({**ACCURACY, "atleast": 1}), "unknown key 'atleast'; allowed are judge_by, on_inconclusive, metric"),
        (policy({"kind": "performance", "metric": "accuracy"}), "lacks the key 'judge_by'"),
        (policy({"kind": "performance", "metric": "accuracy", "judge_by": "point"}), "lacks the key 'at_least'"),
        (policy({"kind": "performance", "at_least": 0.5, "judge_by": "point"}), "lacks the key 'metric'"),
        (policy({**ACCURACY, "metric": "brier"}), "at_least is given for brier; less of it is better"),
        (policy({**ACCURACY, "at_most": 0.9}), "at_most is given for accuracy; more of it is better"),
        (policy({**LOSS, "at_most": 1}), "at_most is 1; it must be at least 0 and below 1, or it never fails"),
        (
            policy({**LOSS, "metric": "log_loss", "at_most": float("inf")}),
            "at_most is inf; .* below 36.04, or it never fails",
        ),
        (policy({**LOSS, "metric": "log_loss", "at_most": 37}), "at_most is 37; .* below 36.04, or it never fails"),
        (policy({**ACCURACY, "metric": "profit", "at_least": -1}), "at_least is -1; it must be above -1"),
        (policy({"kind": "speed"}), r"rules\[0\].kind is 'speed'; kind must be one of performance, slices"),
        (policy({"metric": "accuracy"}), r"rules\[0\].kind is missing"),
        (policy("accuracy"), r"rules\[0\] must be a mapping"),
        (policy({**GAP, "at_most": 1}), "at_most is 1; .* below 1, or it never fails"),
        (policy({**GAP, "attributes": []}), "attributes is empty, so it never fails"),
        (policy({**GAP, "attributes": "gender"}), "attributes is 'gender'; it must be a list of names, or all"),
        (policy({**NOISE, "deviations": []}), "deviations is empty, so it never fails"),
        (policy({**NOISE, "deviations": [0]}), "deviations holds 0; each must be at least 0.001, or it never fails"),
        (policy({**NOISE, "accuracy_drop_below": 1}), "accuracy_drop_below is 1; .* or it never fails"),
        (policy({**NOISE, "draws": 19}), "draws is 19; it must be from 20 to 1000"),
        (policy({**MCNEMAR, "alpha": 0}), "alpha is 0; it must be at least 1e-06, or it never fails"),
        (policy(ACCURACY, ACCURACY), "accuracy is asked for twice"),
        (policy(NOISE, {**NOISE, "accuracy_drop_below": 0.2}), "noise of 0.1 deviations is asked for twice"),
        (policy(GAP, {**GAP, "attributes": "all"}), "stands beside another accuracy_gap"),
        (policy(MCNEMAR, bootstrap=True), "no rule judges a first model"),
        (policy(), r"rules is \[\]; it must be a list of at least one rule, or it never fails"),
        (policy(rules=None), "the policy lacks the key 'rules'"),
        (policy(ACCURACY, seed=None), "the policy lacks the key 'seed'"),
        (policy(ACCURACY, seed=-1), "seed is -1; it must be at least 0"),
        (policy(ACCURACY, valid_days=0), "valid_days is 0; it must be from 1 to 3650"),
        (policy(ACCURACY, boostrap=True), "unknown key 'boostrap'; allowed are name, description, seed"),
        (policy(ACCURACY, bootstrap="yes"), "bootstrap is 'yes'; it must be true or false"),
        (policy(ACCURACY, name=" "), "name is ' '; it must be 1 to 100 letters"),
        ([ACCURACY], "a policy is a mapping with the keys name, description"),
        (None, "a policy is a mapping"),
    ],
)
def test_a_policy_that_cannot_be_judged_by_is_refused_with_what_is_allowed(found, message):
    with pytest.raises(InvalidPolicy, match=message) as refused:
        parse(found)
    assert str(refused.value).startswith("p.yaml: ")


def test_everything_that_is_wrong_is_named_at_once():
    with pytest.raises(InvalidPolicy) as refused:
        parse(policy({**ACCURACY, "metric": "acc"}, {**GAP, "at_most": 2}))
    assert "rules[0]" in str(refused.value)
    assert "rules[1]" in str(refused.value)


def test_a_key_written_twice_is_refused_as_the_first_would_be_lost():
    with pytest.raises(InvalidPolicy, match="the key 'rules' is written twice"):
        parse_policy(b"name: p\nrules: []\nrules: []\n", "p.yaml")


def test_text_that_is_no_yaml_is_refused_in_one_line():
    with pytest.raises(InvalidPolicy, match=r"p\.yaml is no YAML") as refused:
        parse_policy(b"a: [", "p.yaml")
    assert "\n" not in str(refused.value)


def test_every_kind_of_key_says_what_it_may_hold():
    for form in (Policy, *KINDS.values()):
        for field in msgspec.structs.fields(form):
            assert allowed_in(field) != "a list of rules" or field.name == "rules"


def test_a_missing_policy_is_named(tmp_path: Path):
    with pytest.raises(NotFound, match=r"nowhere\.yaml cannot be read"):
        load_policy(tmp_path / "nowhere.yaml")


def test_baseline_asks_for_what_it_promises():
    found, digest = load_policy(POLICIES / "baseline.yaml")
    bounds = {rule.metric: rule.at_least for rule in found.rules if isinstance(rule, KINDS["performance"])}
    assert bounds == {
        "accuracy": 0.75,
        "precision_weighted": 0.70,
        "recall_weighted": 0.65,
        "f1_weighted": 0.70,
        "roc_auc": 0.80,
    }
    gap, noise, mcnemar = found.rules[5:]
    assert (gap.attributes, gap.at_most) == (("gender", "SeniorCitizen"), 0.10)
    assert (noise.deviations, noise.accuracy_drop_below, noise.draws) == ((0.01, 0.05, 0.1), 0.10, 20)
    assert mcnemar.alpha == 0.05
    assert found.bootstrap
    assert digest == sha256((POLICIES / "baseline.yaml").read_bytes())


def test_the_policy_without_protected_attributes_is_baseline_without_fairness():
    baseline, _ = load_policy(POLICIES / "baseline.yaml")
    found, _ = load_policy(POLICIES / "no-protected-attributes.yaml")
    assert list(found.rules) == [rule for rule in baseline.rules if not isinstance(rule, KINDS["accuracy_gap"])]
    assert (found.seed, found.valid_days, found.bootstrap) == (baseline.seed, baseline.valid_days, baseline.bootstrap)


def test_a_slip_in_one_rule_does_not_hide_a_bound_that_never_fails_in_another():
    with pytest.raises(InvalidPolicy) as refused:
        parse(policy({**ACCURACY, "judge_by": "eye"}, {**MCNEMAR, "alpha": 0}, sede=1))
    for part in ("'sede'", "judge_by is 'eye'", "alpha is 0"):
        assert part in str(refused.value)


@pytest.mark.parametrize("load", [load_policy, load_online_policy], ids=["gate", "online"])
def test_a_pipe_is_no_policy_and_nobody_waits_for_it(tmp_path, load):
    os.mkfifo(tmp_path / "policy.yaml")
    with pytest.raises(InvalidPolicy, match="it is no file that can be read"):
        load(tmp_path / "policy.yaml")
