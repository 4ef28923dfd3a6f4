"""The judge's metrics: named once, one sample a trial, and what it says where it cannot say anything."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest
from judging import CHALLENGER, CHAMPION, DAY, EXPERIMENT, START, policy, prediction, truth
from prometheus_client.parser import text_string_to_metric_families

from service.metric_names import JUDGE_HELP
from service.scoring.experiment import Further, write_experiment
from tests.bench.series import A_BACKLOG, A_GROUP, A_TRIAL, JUDGE
from validation.judge.limits import Live
from validation.judge.metrics import Looks, render_metrics
from validation.judge.policy import GroupRule
from validation.judge.process import step
from validation.statistics.paired import payoff_mean_sequence

RULES = policy(groups=(GroupRule(attribute="SeniorCitizen", margin=0.1, when_underpowered="report"),))
NOW = START + 31 * DAY


LOOKS = Looks(seconds=0.25, failed=3, knows_contract=True)


def samples(status, looks=LOOKS):
    text = render_metrics(status, looks).decode()
    families = list(text_string_to_metric_families(text))
    assert sorted(set(re.findall(r"^# HELP (\w+)", text, re.M))) == sorted(JUDGE_HELP)
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name not in ("variant", "model"))):
            sample.value
        for family in families
        for sample in family.samples
    }  # fmt: skip


def looked(world, *, now=NOW, experiment=EXPERIMENT):
    write_experiment(world.folder.experiment, experiment)
    rows = [prediction(f"c{n}", challenger_positive=n < 30, features={"SeniorCitizen": n % 2}) for n in range(200)]
    world.log(*rows, *(truth(row, n < 20) for n, row in enumerate(rows)))
    world.ship(now)
    return step(world.folder, world.store, RULES, now=now)


def test_every_number_of_the_evidence_is_exported(world):
    status = looked(world)
    found, evidence = samples(status), status.verdict.evidence
    assert found["gauntlet_judge_matured_customers",] == 200
    assert found["gauntlet_judge_log_e", "promote"] == evidence.log_e
    assert found["gauntlet_judge_log_e", "rollback_best"] == evidence.rollback_log_e_best
    assert found["gauntlet_judge_log_e", "srm"] == evidence.srm_log_e_max
    assert found["gauntlet_judge_log_e_threshold", "rollback"] == evidence.rollback_threshold
    assert found["gauntlet_judge_difference", "lower"] == evidence.lower
    assert found["gauntlet_judge_difference", "observed"] == evidence.difference
    assert found["gauntlet_judge_group_difference", "SeniorCitizen", "upper", "1"] == evidence.groups[1].upper
    assert found["gauntlet_judge_group_matured_customers", "SeniorCitizen", "1"] == 100
    assert found["gauntlet_judge_group_margin", "SeniorCitizen", "0"] == 0.1
    assert found["gauntlet_judge_customers", "losses"] == evidence.losses == 10
    assert found["gauntlet_judge_customers", "ties"] == evidence.ties
    for role, share in (("champion", 0.9), ("challenger", 0.95)):
        lower, upper = payoff_mean_sequence({1.0: round(200 * share), 0.0: round(200 * (1 - share))}, 0.05)
        ends = {end: found["gauntlet_judge_accuracy_ratio", end, role] for end in ("lower", "observed", "upper")}
        assert ends == {"lower": lower, "observed": getattr(evidence, f"{role}_accuracy"), "upper": upper}
        assert lower < ends["observed"] == share < upper
    assert found["gauntlet_judge_phase_customers", "champion"] == 200
    assert found["gauntlet_judge_logged_rows", "outcomes"] == 200
    assert found["gauntlet_judge_waiting_predictions",] == 0
    assert found["gauntlet_judge_verdict", status.verdict.verdict] == 1
    assert sum(value for name, value in found.items() if name[0] == "gauntlet_judge_verdict") == 1
    assert found["gauntlet_judge_trial_number",] == 1
    assert found["gauntlet_judge_margin_spent",] == 0
    assert found["gauntlet_judge_cohort_lag_seconds",] == 0
    assert found["gauntlet_judge_look_duration_seconds",] == 0.25
    assert found["gauntlet_judge_looks_failed_total",] == 3
    assert found["gauntlet_judge_contract_known",] == 1
    assert found["gauntlet_judge_look_timestamp_seconds",] == NOW.timestamp()


def test_predictions_whose_cohort_is_open_are_waiting(world):
    status = looked(world, now=START + DAY)
    found = samples(status)
    assert found["gauntlet_judge_waiting_predictions",] == found["gauntlet_judge_logged_rows", "predictions"] == 200


def test_predictions_wait_for_outcomes_while_nobody_is_on_trial_too(world):
    alone = msgspec.structs.replace(EXPERIMENT, mode="off", challenger=None)
    rows = [prediction(f"c{n}", mode="off", experiment=alone.id, challenger=None) for n in range(3)]
    write_experiment(world.folder.experiment, alone)
    world.log(*rows, prediction("tried", purpose="test", experiment=alone.id))
    world.ship(START + DAY)
    told = samples(step(world.folder, world.store, RULES, now=START + DAY))
    assert told["gauntlet_judge_waiting_predictions",] == 3
    assert len(told) == JUDGE + A_BACKLOG
    world.ship(NOW)
    after = render_metrics(step(world.folder, world.store, RULES, now=NOW), LOOKS).decode()
    label = f'{{model="{CHAMPION[7:19]}",variant="champion"}}'
    assert f"gauntlet_judge_waiting_predictions{label} 0.0" in after


def test_what_the_last_requests_say_is_exported_where_the_policy_looks_at_them(world):
    status = looked(world)
    assert not any(name.startswith("gauntlet_judge_live") for name, *_ in samples(status))
    live = Live(
        requests=50,
        failed=10,
        champion_p99_us=200.0,
        challenger_p99_us=None,
        champion_positive=20,
        challenger_positive=10,
    )
    verdict = msgspec.structs.replace(status.verdict, live=live)
    found = samples(msgspec.structs.replace(status, verdict=verdict))
    assert found["gauntlet_judge_live_requests",] == 50
    assert found["gauntlet_judge_live_failed_requests",] == 10
    assert found["gauntlet_judge_live_p99_seconds", "champion"] == pytest.approx(0.0002)
    assert ("gauntlet_judge_live_p99_seconds", "challenger") not in found
    assert found["gauntlet_judge_live_positive_ratio", "challenger"] == 0.25


def test_no_trial_makes_more_series_than_the_bound(world):
    status = looked(world)
    live = Live(
        requests=50, failed=0, champion_p99_us=1.0, challenger_p99_us=1.0, champion_positive=1, challenger_positive=1
    )
    status = msgspec.structs.replace(status, verdict=msgspec.structs.replace(status.verdict, live=live))
    assert len(samples(status)) == JUDGE + A_TRIAL + len(status.verdict.evidence.groups) * A_GROUP


def test_cohorts_that_are_due_and_wait_for_a_spool_are_a_lag(world):
    looked(world, now=START)
    late = step(world.folder, world.store, RULES, now=NOW + 2 * DAY + timedelta(hours=3))
    assert samples(late)["gauntlet_judge_cohort_lag_seconds",] == 3 * 86_400
    world.ship(NOW + 2 * DAY)
    after = step(world.folder, world.store, RULES, now=NOW + 3 * DAY)
    assert samples(after)["gauntlet_judge_cohort_lag_seconds",] == 86_400


def test_every_challenger_has_its_own_samples(world):
    other = "sha256:" + "d" * 64
    status = looked(world, experiment=msgspec.structs.replace(EXPERIMENT, further=(Further(challenger=other),)))
    text = render_metrics(status, Looks()).decode()
    assert f'gauntlet_judge_trial_number{{model="{CHALLENGER[7:19]}",variant="challenger"}} 1.0' in text
    assert f'gauntlet_judge_trial_number{{model="{"d" * 12}",variant="challenger"}} 2.0' in text


def test_a_judge_that_cannot_say_anything_says_so_of_itself():
    found = samples(None, Looks(seconds=1.0, failed=2))
    assert found == {("gauntlet_judge_look_duration_seconds",): 1.0, ("gauntlet_judge_looks_failed_total",): 2}
