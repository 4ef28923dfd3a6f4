"""What pods and Prometheus say of a rollout; the walk through the service is in tests/integration."""

import pytest

from k8s.smoke import Door, smoke

NOWHERE = Door("gauntlet.localhost", "http://127.0.0.1:9", "key")
COUNTED = 'gauntlet_experiment_revision 3\ngauntlet_predictions_total{variant="champion",purpose="test"} 1\n'


def holds(role, value):
    return f'gauntlet_blessing_holds{{role="{role}",model="churn:3"}} {value}\n'


def said_of(metrics, rules=None):
    checks = smoke(NOWHERE, carried=["a"], metrics=lambda: metrics, rules=rules)
    return {check.name: (check.is_good, check.said) for check in checks}


def test_a_challenger_that_pods_leave_out_fails_the_rollout():
    text = COUNTED + holds("champion", 1) + holds("challenger", 0)
    is_good, said = said_of({"p1": text})["blessings"]
    assert not is_good
    assert 'role="challenger",model="churn:3"} is 0: the pods leave it out' in said


def test_a_champion_whose_blessing_does_not_hold_is_told_of_and_rolled_out():
    assert said_of({"p1": COUNTED + holds("champion", 0)})["blessings"] == (True, "0 of 1 models are blessed")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ({}, "no scoring pod is ready"),
        ({"p1": COUNTED, "p2": ""}, "p2 say nothing"),
        ({"p1": COUNTED.replace("} 1", "} 0")}, "none of 1 pods counted the prediction of this test"),
    ],
)
def test_pods_that_do_not_count_fail_the_rollout(metrics, said):
    assert said_of(metrics)["metrics"] == (False, said)


def test_every_pod_counts_and_one_of_them_counted_the_test():
    other = COUNTED.replace("} 1", "} 0")
    assert said_of({"p1": COUNTED, "p2": other})["metrics"] == (True, "2 pods count")


def test_without_drift_s_rules_the_rollout_fails():
    assert said_of({}, rules=lambda: ("gauntlet-service",))["drift rules"] == (
        False, "Prometheus has no group gauntlet-drift; it has gauntlet-service",
    )  # fmt: skip
    assert said_of({}, rules=lambda: ("gauntlet-drift",))["drift rules"] == (True, "gauntlet-drift loaded")
