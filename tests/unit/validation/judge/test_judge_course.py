"""The course of the evidence: each look is what a verdict would have rested on then."""

from __future__ import annotations

import random

import pytest
from judging import cohort, counts, policy

from validation.judge.course import course_of
from validation.judge.evidence import weigh
from validation.judge.lineage import Lineage
from validation.statistics import mixed_srm_log_e, paired_log_wealth

RULES = policy(margin=0.02)
LINEAGE = Lineage(name="churn", number=2, promotions=1, anchor="sha256:a")
SAME = ("matured", "difference", "log_e", "log_e_worst", "rollback_log_e", "rollback_log_e_best", "srm_log_e")


def ledger(days: int = 12):
    rng = random.Random(4)
    made = []
    for day in range(days):
        wins, losses, ties = rng.randrange(6), rng.randrange(5), rng.randrange(30, 60)
        missing = rng.randrange(3)
        total = wins + losses + ties + missing
        split = {"mode": "split", "split": 0.25, "revision": 3} if day >= days // 2 else {}
        answered = round(total / 4) if split else 0
        of = counts(wins, ties, losses, missing_champion_positive=missing, answered_challenger=answered)
        made.append(cohort(RULES, of, day=day, **split))
    return made


def test_each_look_is_the_evidence_of_the_ledger_as_it_was_then():
    whole = ledger()
    for number, look in enumerate(course_of(whole, RULES, LINEAGE), start=1):
        then = weigh(whole[:number], RULES, lineage=LINEAGE)
        assert {name: getattr(look, name) for name in SAME} == {name: getattr(then, name) for name in SAME}
        assert (look.ends.lower, look.ends.upper) == (then.lower, then.upper)
        assert look.enrolled == then.counts.n


def test_it_does_not_depend_on_the_order_of_the_rows():
    whole = ledger()
    assert course_of(whole[::-1], RULES) == course_of(whole, RULES)


def test_its_numbers_are_those_of_the_statistics():
    (look,) = course_of([cohort(RULES, counts(30, 160, 10))], RULES)
    assert look.log_e == pytest.approx(paired_log_wealth(30, 160, 10, 0.02), abs=1e-12)
    assert look.rollback_log_e == pytest.approx(paired_log_wealth(10, 160, 30, -0.02), abs=1e-12)


def test_phases_are_told_apart_and_each_split_is_weighed_by_itself():
    of = counts(0, 100, 0, answered_challenger=60)
    rows = [cohort(RULES, counts(0, 100, 0)), cohort(RULES, of, day=1, revision=3, mode="split", split=0.25)]
    shadow, split = course_of(rows, RULES)
    assert (shadow.phase, shadow.srm_log_e) == ((2, "shadow", 0.0), 0.0)
    assert split.phase == (3, "split", 0.25)
    assert split.srm_log_e == pytest.approx(mixed_srm_log_e([40, 60], [0.75, 0.25]), abs=1e-12)


def test_intervals_are_computed_at_few_looks_and_always_at_the_last():
    looks = course_of(ledger(11), RULES, most_intervals=4)
    assert [look.ends is not None for look in looks].count(True) == 4
    assert looks[-1].ends is not None


def test_an_empty_ledger_has_no_course():
    assert course_of([], RULES) == ()
