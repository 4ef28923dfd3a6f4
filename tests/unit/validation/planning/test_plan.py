"""Plans. Figures to compare with: reference/statistics.md, F2c, simulated there with a look at every fifth pair."""

import json
import math

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import gauntlet
from bentos.errors import InvalidSetting
from validation.planning.commands import _group
from validation.planning.fixed import fixed_customers
from validation.planning.page import to_html
from validation.planning.plan import make_plan
from validation.planning.question import GroupAsked, Question, chances_of, check_question
from validation.planning.simulating import looks_of, play
from validation.planning.unlimited import customers_needed, expected_customers

WHOLE = 0.05 * math.pi**2 / 6
"""Alpha of a lineage that leaves its first trial .05, which the reference's figures are for."""


def question(**given):
    known = {"effect": 0.0, "margin": 0.02, "new_customers": 100, "min_cohorts": 1, "horizon_days": 230}
    return check_question(Question(**{**known, **given}))


def days_of(customers, rate=100, window=30):
    return math.ceil(customers / rate) + window


@pytest.mark.parametrize(
    ("effect", "margin", "low", "high"),
    [
        pytest.param(0.0, 0.02, 1600, 1900, id="equal models, delta .02: 1,700 to 1,800"),
        pytest.param(0.02, 0.01, 700, 950, id="+2 points, delta .01: about 760"),
        pytest.param(0.03, 0.0, 700, 950, id="+3 points, delta 0: 773"),
        pytest.param(-0.03, 0.0, 700, 950, id="harm beyond 0, -3 points: 810"),
        pytest.param(-0.01, 0.0, 5600, 7600, id="harm beyond 0, -1 point: 6,260"),
    ],
)
def test_half_of_trials_are_decided_when_the_reference_says(effect, margin, low, high):
    plan = make_plan(question(effect=effect, margin=margin, alpha=WHOLE, new_customers=20, horizon_days=700))
    assert plan.level == pytest.approx(0.05)
    assert low <= plan.timings[0].customers <= high
    assert plan.timings[0].days == days_of(plan.timings[0].customers, rate=20)
    assert plan.decision == ("PROMOTE" if effect > -margin else "ROLLBACK")
    assert plan.wrong <= 0.05


def test_six_thousand_pairs_certify_equal_models_in_98_percent():
    plan = make_plan(question(horizon_days=90, alpha=WHOLE))
    assert plan.available == 6000
    assert plan.right == pytest.approx(0.98, abs=0.02)


def test_at_the_margin_nothing_can_be_decided_and_no_is_said():
    plan = make_plan(question(effect=-0.02))
    assert (plan.can_be_had, plan.decision, plan.fixed.customers, plan.needed.days) == (False, None, None, None)
    assert "the margin itself" in plan.reason


def test_too_few_customers_are_a_no_with_the_share_of_trials_that_would_do():
    plan = make_plan(question(new_customers=10))
    assert not plan.can_be_had
    assert "2,000 customers who can have matured" in plan.reason
    assert plan.timings[2].customers is None
    needed = customers_needed(plan.question)
    assert (
        f"About {needed:,} would be needed, which there are after {math.ceil(needed / 10 + 30):,} days" in plan.reason
    )
    again = make_plan(question(new_customers=10, horizon_days=2 * (needed / 10 + 30)))
    assert again.needed.customers == pytest.approx(needed, rel=0.1)


def test_a_horizon_inside_the_window_leaves_nobody():
    plan = make_plan(question(horizon_days=30))
    assert not plan.can_be_had
    assert plan.reason == "no customer can have matured within 30 days"


def test_known_customers_count_once_and_then_only_new_ones_come():
    asked = question(customers=3000, new_customers=10)
    assert asked.scored_by(30) == 3300
    assert asked.scored_by(60) == 3600


def test_a_promotion_waits_for_its_cohorts_and_a_rollback_does_not():
    better = make_plan(question(effect=0.045, new_customers=1000, min_cohorts=14))
    worse = make_plan(question(effect=-0.075, margin=0.0, new_customers=1000, min_cohorts=14))
    assert better.timings[0].days == 14 + 30
    assert worse.timings[0].days < 14 + 30
    assert worse.can_be_had
    assert worse.reason.startswith("80% of trials have come to ROLLBACK by ")


def test_missing_outcomes_take_longer():
    whole, holes = (make_plan(question(coverage=coverage)).timings[0].customers for coverage in (1.0, 0.95))
    assert holes > 1.2 * whole


def test_where_missing_outcomes_could_hide_the_difference_no_number_of_customers_would_do():
    plan = make_plan(question(coverage=0.5))
    assert not plan.can_be_had
    assert plan.reason.endswith("the 50% of outcomes that never come could hide the difference")
    assert expected_customers(plan.question) is None


def test_later_trials_of_a_lineage_take_longer_and_a_promotion_gives_some_back():
    first, fourth, promoted = (
        make_plan(question(new_customers=20, horizon_days=700, trial=trial, promotions=promotions))
        for trial, promotions in ((1, 0), (4, 0), (4, 2))
    )
    assert first.level > promoted.level > fourth.level
    assert first.needed.customers < promoted.needed.customers < fourth.needed.customers


def test_rules_that_may_find_harm_share_its_level():
    one, four = (make_plan(question(effect=-0.05, margin=0.0, harm_rules=rules)) for rules in (1, 4))
    assert one.needed.customers < four.needed.customers


def test_of_those_who_are_treated_no_pair_is_evidence():
    asked = question(counted=0.2, customers=1000, new_customers=50)
    assert asked.scored_by(30) == 0.2 * (1000 + 1500)
    assert make_plan(question(counted=0.2)).needed.days > make_plan(question()).needed.days


def test_many_cohorts_are_looked_at_more_rarely_later_and_always_at_the_end():
    looks = looks_of(question(new_customers=3, horizon_days=3000))
    assert len(looks.cohorts) <= 400
    assert (looks.cohorts[0], looks.cohorts[-1], looks.customers[-1]) == (1, 2970, 8910)
    assert (np.diff(looks.cohorts) >= 1).all()


def test_a_group_has_a_margin_and_customers_of_its_own():
    seniors = (GroupAsked("SeniorCitizen=1", 0.16, 0.05, 0.14),)
    asked = question(new_customers=200, horizon_days=365, alpha=WHOLE, groups=seniors)
    plan = make_plan(asked)
    (group,) = plan.groups
    # statistics.md: seniors on Telco, margin .05: 2,600 customers in the median.
    assert 2200 <= make_plan(msgspec.structs.replace(asked, power=0.5)).groups[0].customers <= 3200
    assert group.members == round(0.16 * group.customers)
    assert group.days == days_of(group.customers, rate=200)
    assert plan.needed.customers >= group.customers


def test_a_group_with_too_few_members_holds_everybody_back():
    plan = make_plan(question(new_customers=20, horizon_days=100, groups=(GroupAsked("s", 0.16, 0.01),)))
    assert plan.groups[0].days is None
    assert not plan.can_be_had


def test_a_group_that_would_lose_its_margin_is_named():
    plan = make_plan(question(effect=-0.01, groups=(GroupAsked("seniors", 0.16, 0.005),)))
    assert plan.decision == "PROMOTE"
    assert plan.reason == "seniors would lose its margin or more, so the challenger is not to be promoted"


@pytest.mark.parametrize("cost", [None, 0.2, 3.0])
@pytest.mark.parametrize("effect", [-0.02, 0.0, 0.01])
def test_the_chances_make_the_effect_that_was_asked_for(cost, effect):
    asked = question(effect=effect, false_positive_cost=cost)
    chances = chances_of(asked)
    ratio = 1.0 if cost is None else cost
    missed, needless = min(1.0, 1 / ratio), min(1.0, ratio)
    assert (chances >= 0).all()
    assert chances.sum() == pytest.approx(0.1)
    assert chances @ [missed, needless, -missed, -needless] == pytest.approx(effect)


def test_a_test_looked_at_once_is_mcnemars():
    # statistics.md: 2 points of accuracy at 10 % discordant: 152 discordant pairs, 80 % power, two-sided .05.
    assert fixed_customers(question(effect=0.02, margin=0.0, alpha=0.025)) == pytest.approx(1960, rel=0.02)


def test_under_the_null_trials_end_wrongly_as_rarely_as_they_say():
    played = play(question(effect=-0.0200001, margin=0.02, horizon_days=90), seed=1)
    assert 0 < played.share(played.promoted) <= 0.05
    assert 0 < played.share(played.rolled_back) <= 0.05


def test_the_same_seed_gives_the_same_plan():
    assert make_plan(question(), seed=3) == make_plan(question(), seed=3)
    assert make_plan(question(), seed=3).timings != make_plan(question(), seed=4).timings


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"effect": 0.2}, "--effect is 0.2; .* from -0.1 to 0.1"),
        ({"effect": 0.08, "false_positive_cost": 0.2}, "from -0.048 to 0.048"),
        ({"margin": 0.5}, "--margin is 0.5"),
        ({"alpha": 0.5}, "--alpha is 0.5"),
        ({"power": 1.0}, "--power is 1"),
        ({"coverage": 0.0}, "--coverage is 0"),
        ({"disagreement": 1.5}, "--disagreement is 1.5"),
        ({"false_positive_cost": 0.0}, "--cost-ratio is 0"),
        ({"new_customers": 0}, "one of them must be above 0"),
        ({"window_days": -1}, "--window is -1 days"),
        ({"horizon_days": 0}, "--horizon is 0 days"),
        ({"spread_days": 0.5}, "--spread is 0.5 days"),
        ({"trial": 2, "promotions": 2}, "--trial is 2 and --promotions 2"),
        ({"counted": 0.0}, "--no-treatment is 0"),
        ({"window_days": 1e308}, r"--window is 1e\+308 days; it must be from 0 to 3650"),
        ({"horizon_days": math.nan}, "--horizon is nan days"),
        ({"effect": math.nan}, "--effect is nan"),
        ({"groups": (GroupAsked("g", 1.0, 0.05),)}, "--group g must have a share"),
        ({"groups": (GroupAsked("g", 0.5, 0.05, 0.0),)}, "--group g has a disagreement of 0"),
        (
            {"groups": (GroupAsked("g", 0.9, 0.05, 0.3),)},
            "--group g: a share of 0.9 with a disagreement of 0.3 does not",
        ),
        ({"effect": 0.05, "groups": (GroupAsked("g", 0.1, 0.05, 0.02),)}, "--group g: models that disagree on 0.02"),
    ],
)
def test_what_cannot_be_planned_is_refused_by_option(given, message):
    with pytest.raises(InvalidSetting, match=message):
        question(**given)


def test_the_page_draws_the_plan_beside_others():
    plan = make_plan(question(new_customers=50))
    content = to_html(plan).decode()
    assert "Days by what is true" in content
    assert plan.reason in content
    assert content == to_html(plan).decode()


def test_the_command_answers_first_and_exits_by_the_answer(tmp_path):
    run = CliRunner()
    base = ["plan", "--folder", str(tmp_path), "--margin", "0.02", "--effect", "0"]
    yes = run.invoke(gauntlet.cli, [*base, "--new-customers-per-day", "100", "--html", str(tmp_path / "p.html")])
    assert yes.exit_code == 0, yes.output
    assert yes.stdout.startswith("Yes: 80% of trials have come to PROMOTE by ")
    assert (tmp_path / "p.html").is_file()
    no = run.invoke(gauntlet.cli, [*base, "--new-customers-per-day", "3"])
    assert no.exit_code == 1
    assert no.stdout.startswith("No: ")


def test_the_command_takes_what_it_is_not_told_from_the_policy(tmp_path):
    asked = ["plan", "--folder", str(tmp_path), "--effect", "0.01", "--customers", "9000", "--json"]
    done = CliRunner().invoke(gauntlet.cli, asked)
    found = json.loads(done.stdout)["question"]
    assert (found["margin"], found["false_positive_cost"], found["window_days"], found["min_cohorts"]) == (
        0.01, 0.2, 30.0, 14,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("SeniorCitizen=1=0.16:0.05", GroupAsked("SeniorCitizen=1", 0.16, 0.05)),
        ("gender=Female=0.5:0.05:0.08", GroupAsked("gender=Female", 0.5, 0.05, 0.08)),
    ],
)
def test_a_group_is_written_as_it_is_read(text, read):
    assert _group(text) == read


@pytest.mark.parametrize("text", ["seniors", "a=0.5", "a=0.5:0.1:0.1:0.1", "a=half:0.1"])
def test_a_group_that_cannot_be_read_shows_how_one_is_written(text):
    with pytest.raises(InvalidSetting, match="NAME=SHARE:MARGIN or NAME=SHARE:MARGIN:DISAGREEMENT"):
        _group(text)
