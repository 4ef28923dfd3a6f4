"""Lineages: every trial has its number, promotions share alpha, and margins are spent from a budget."""

from __future__ import annotations

import math
import random

import msgspec
import pytest
import sqlalchemy as sa
from judging import CHALLENGER, CHAMPION, DAY, EXPERIMENT, START, cohort, counts, policy, prediction, superiority, truth

from service.scoring.experiment import Further, start_shadow, stop, write_experiment
from service.store import open_store, tables
from validation.judge.lineage import Ended, Lineage, after, level, spending
from validation.judge.looking import look
from validation.judge.process import step
from validation.judge.trials import name_of_lineage, read_lineage, register_trials
from validation.judge.verdict import judge, spending_of

NOW = START
OTHER, THIRD = "sha256:" + "d" * 64, "sha256:" + "e" * 64
RULES = policy()


def lineage(number=1, **changes) -> Lineage:
    return Lineage(**{"name": "churn", "number": number, "promotions": 0, "anchor": CHAMPION, **changes})


def trials(world):
    with world.store.reading() as connection:
        rows = connection.execute(sa.select(tables.trials).order_by(tables.trials.c.number))
        return [(row.number, row.challenger, row.ending) for row in rows]


def see(world, experiment, now=NOW):
    write_experiment(world.folder.experiment, experiment)
    return step(world.folder, world.store, RULES, now=now)


def again(salt, **changes):
    return msgspec.structs.replace(EXPERIMENT, salt=salt, **changes)


def test_the_second_of_a_line_is_asked_more_of_than_the_first():
    of = counts(60, 900, 40)
    first = judge([cohort(RULES, of)], RULES, EXPERIMENT, lineage=lineage())
    fifth = judge([cohort(RULES, of)], RULES, EXPERIMENT, lineage=lineage(5))
    promoted = judge([cohort(RULES, of)], RULES, EXPERIMENT, lineage=lineage(5, promotions=4))
    assert first.evidence.threshold == pytest.approx(math.log(math.pi**2 / 6 / 0.05))
    assert fifth.evidence.threshold == pytest.approx(first.evidence.threshold + math.log(25))
    assert promoted.evidence.threshold == pytest.approx(fifth.evidence.threshold - math.log(5))
    assert [found.verdict for found in (first, fifth)] == ["PROMOTE", "KEEP_COLLECTING"]
    assert fifth.evidence.lower < first.evidence.lower
    assert fifth.evidence.rollback_threshold == first.evidence.rollback_threshold


def test_twenty_useless_challengers_in_a_line_promote_nobody_and_a_fixed_level_promotes_some():
    """Both sides, on equal models judged at superiority after each of 40 cohorts."""
    rules, fixed, ours = superiority(min_matured=10), 0, 0
    for seed in range(30):
        rng = random.Random(seed)
        found = {"fixed": 0, "ours": 0}
        for number in range(1, 21):
            crossed = {"fixed": False, "ours": False}
            wins = losses = 0
            for _ in range(40):
                drawn = sum(rng.random() < 0.5 for _ in range(10))
                wins, losses = wins + drawn, losses + 10 - drawn
                log_e = judge_log_e(wins, losses)
                crossed["fixed"] |= log_e >= -math.log(0.05)
                crossed["ours"] |= log_e >= -math.log(level(0.05, lineage(number)))
            for name, is_crossed in crossed.items():
                found[name] += is_crossed
        fixed += found["fixed"] > 0
        ours += found["ours"] > 0
    assert rules.claim == "superiority"
    assert fixed >= 8
    assert ours <= 4


def judge_log_e(wins, losses):
    from validation.statistics import paired_log_wealth

    return paired_log_wealth(wins, 0, losses, 0.0)


def test_every_trial_takes_its_number_once_at_its_start_however_it_ends(world):
    see(world, EXPERIMENT)
    see(world, EXPERIMENT)
    see(world, again("second"))
    see(world, again("third", challenger=OTHER))
    assert trials(world) == [(1, CHALLENGER, "abandoned"), (2, CHALLENGER, "abandoned"), (3, OTHER, None)]


def test_several_challengers_at_once_share_alpha_each_by_its_own_number(world):
    status = see(world, again("s", further=(Further(challenger=OTHER), Further(challenger=THIRD))))
    assert trials(world) == [(1, CHALLENGER, None), (2, OTHER, None), (3, THIRD, None)]
    verdicts = [status.verdict, *(one.verdict for one in status.further)]
    assert [verdict.lineage.number for verdict in verdicts] == [1, 2, 3]
    spent = sum(math.exp(-verdict.evidence.threshold) for verdict in verdicts)
    assert 0 < spent <= 0.05


def test_a_stopped_trial_goes_on_under_its_number_and_one_taken_up_again_is_not_abandoned(world):
    see(world, EXPERIMENT)
    off = stop(EXPERIMENT, now=NOW, lead=DAY)
    see(world, off)
    see(world, start_shadow(off, CHALLENGER, now=NOW, salt="fresh", lead=DAY))
    assert trials(world) == [(1, CHALLENGER, None)]
    see(world, again("second", challenger=OTHER))
    see(world, EXPERIMENT)
    assert trials(world) == [(1, CHALLENGER, None), (2, OTHER, "abandoned")]


def test_nobody_on_trial_takes_no_number(world):
    see(world, again("s", mode="off"))
    see(world, again("s", mode="off", challenger=None))
    assert trials(world) == []


def test_a_trial_that_the_judge_has_not_seen_is_looked_at_as_the_next_one(world):
    see(world, EXPERIMENT)
    other = again("second", challenger=OTHER)
    write_experiment(world.folder.experiment, other)
    verdict = look(world.folder, store=world.store, policy_path=world.policy_path, as_of=None, now=NOW)
    assert verdict.lineage.number == 2
    assert trials(world) == [(1, CHALLENGER, None)]


def test_judges_at_once_number_each_trial_once(world):
    import threading

    several = again("s", further=(Further(challenger=OTHER), Further(challenger=THIRD)))
    stores = [open_store(world.folder.store_url) for _ in range(4)]
    threads = [
        threading.Thread(target=register_trials, args=(store, several), kwargs={"lineage": "churn", "now": NOW})
        for store in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.close()
    assert [number for number, _, _ in trials(world)] == [1, 2, 3]


def test_a_lineage_without_a_bento_goes_on_with_the_one_in_the_store(world):
    assert name_of_lineage(world.folder, world.store) == "model"
    register_trials(world.store, EXPERIMENT, lineage="churn", now=NOW)
    assert name_of_lineage(world.folder, world.store) == "churn"
    assert read_lineage(world.store, EXPERIMENT, lineage="another").name == "churn"


# The margin's budget


def test_a_promotion_spends_what_it_may_have_lost_and_at_most_the_margin():
    rules = policy(margin=0.02, lineage_margin=0.05)
    assert spending(-0.013, 0.02, rules, lineage()).margin == pytest.approx(0.013)
    assert spending(-0.5, 0.02, rules, lineage()).margin == 0.02
    small = spending(0.005, 0.02, rules, lineage(spent=0.01))
    assert (small.margin, small.is_anchor, small.left) == (0.0, False, pytest.approx(0.04))
    better = spending(0.011, 0.02, rules, lineage(spent=0.01))
    assert (better.margin, better.is_anchor, better.left) == (0.0, True, 0.05)


def test_only_superiority_over_the_anchor_restores_the_budget():
    ended = [Ended(challenger=name, margin_spent=0.01, is_anchor=name == "c") for name in "abcd"]
    assert after(ended[:2], "first") == ("first", pytest.approx(0.02))
    assert after(ended[:3], "first") == ("c", 0.0)
    assert after(ended, "first") == ("c", pytest.approx(0.01))
    assert after([], "first") == ("first", 0.0)


def test_no_promotion_beyond_the_budget_unless_it_beats_the_anchor():
    rules = policy(margin=0.02, lineage_margin=0.03)
    equal, better = counts(300, 9400, 300), counts(900, 8700, 400)
    fresh = judge([cohort(rules, equal)], rules, EXPERIMENT, lineage=lineage())
    assert fresh.verdict == "PROMOTE"
    assert "it spends" in " ".join(fresh.reasons)
    late = lineage(3, promotions=2, spent=0.0295)
    refused = judge([cohort(rules, equal)], rules, EXPERIMENT, lineage=late)
    assert (refused.verdict, "margin of this lineage is spent" in refused.reasons[-1]) == ("KEEP_COLLECTING", True)
    superior = judge([cohort(rules, better)], rules, EXPERIMENT, lineage=late)
    assert superior.verdict == "PROMOTE"
    assert spending_of(superior, rules).is_anchor
    assert "takes its place" in " ".join(superior.reasons)


def test_ten_small_losses_in_a_row_are_not_called_no_change():
    """Each challenger is a point worse than its champion; without a budget each would pass by a margin of two."""
    rules, spent, promoted, passed = policy(margin=0.02, lineage_margin=0.04), 0.0, 0, 0
    worse = counts(4000, 91_000, 5000)
    for number in range(1, 11):
        ledger = [cohort(rules, worse)]
        passed += judge(ledger, rules, EXPERIMENT).verdict == "PROMOTE"
        own = lineage(number, promotions=promoted, spent=spent)
        verdict = judge(ledger, rules, EXPERIMENT, lineage=own)
        if verdict.verdict == "PROMOTE":
            spent += spending_of(verdict, rules).margin
            promoted += 1
    assert (passed, promoted) == (10, 3)
    assert spent <= 0.04


def test_missing_disagreements_count_as_losses_in_what_is_spent():
    rules = policy(margin=0.02)
    told = counts(300, 9400, 300)
    silent = counts(300, 9400, 300, missing_champion_positive=40)
    spent = [
        spending_of(judge([cohort(rules, of)], rules, EXPERIMENT, lineage=lineage()), rules).margin
        for of in (told, silent)
    ]
    assert spent[1] > spent[0] + 0.003


def test_a_restarted_trial_of_the_same_two_models_counts_nobody_twice(world):
    from validation.judge.closing import close_cohorts

    see(world, EXPERIMENT)
    renewed = again("renewed")
    see(world, renewed)
    old = [prediction(f"c{n}") for n in range(3)]
    new = [prediction(f"c{n}", START + DAY, experiment=renewed.id, challenger_positive=True) for n in range(5)]
    world.log(*old, *new, *(truth(row, True) for row in new))
    moment = START + 40 * DAY
    world.ship(moment)
    (row,) = close_cohorts(world.store, renewed.id, RULES, now=moment)
    assert row.counts.n == 2  # c3 and c4 alone are new
    stranger = again("third", challenger=OTHER)
    see(world, stranger)
    others = [prediction(f"c{n}", START + DAY, experiment=stranger.id, challenger=OTHER) for n in range(5)]
    world.log(*others)
    world.ship(moment)
    (row,) = close_cohorts(world.store, stranger.id, RULES, now=moment)
    assert row.counts.n == 5
