"""One step of a rollout, by real verdicts on small ledgers."""

import dataclasses
from datetime import timedelta

import msgspec
import pytest
from rollout_toys import CARRIED, FIRST, NOW, SHADOW, ZERO, A, B, C, verdict_on

from bentos.errors import BadInput, Refused
from k8s.advancing import Plan, first_step, next_step
from k8s.overlay import Carried
from service.scoring.experiment import end_trial, set_split, start_shadow, stop, swap_roles

PLAN = Plan()


def step_of(experiment, *, carried=CARRIED, plan=PLAN, now=NOW, **ledger):
    return next_step(experiment, carried, verdict_on(experiment, **ledger), plan, now=now)


def test_a_rollout_begins_in_the_shadow():
    step = first_step(FIRST, CARRIED, begun=None)
    assert step is not None
    assert (step.action, step.challenger) == ("shadow", B)


def test_a_challenger_on_trial_needs_a_verdict():
    assert first_step(SHADOW, CARRIED, begun="2026-03-01") is None


def test_a_challenger_that_was_rolled_back_is_not_tried_again():
    ended = end_trial(SHADOW, B, now=NOW, lead=ZERO)
    step = first_step(ended, CARRIED, begun="2026-03-01T00:00:00Z")
    assert step is not None
    assert step.action == "done"
    assert "2026-03-01T00:00:00Z" in step.why


def test_a_trial_that_a_person_stopped_is_not_taken_up_again():
    step = first_step(stop(SHADOW, now=NOW, lead=ZERO), CARRIED, begun="2026-03-01")
    assert step is not None
    assert step.action == "wait"


def test_a_promoted_challenger_is_done_with():
    step = first_step(swap_roles(SHADOW, now=NOW, lead=ZERO), CARRIED, begun="2026-03-01")
    assert step is not None
    assert (step.action, step.why) == ("done", f"{B} is champion")


def test_an_image_with_the_champion_alone_has_nothing_to_roll_out():
    step = first_step(FIRST, Carried(image="i@d", champion=A, challengers=()), begun=None)
    assert step is not None
    assert (step.action, step.challenger) == ("done", None)


def test_which_of_several_challengers_is_tried_is_a_person_s_decision():
    with pytest.raises(BadInput, match="carries 2 challengers"):
        first_step(FIRST, Carried(image="i@d", champion=A, challengers=(B, C)), begun=None)


def test_an_image_without_the_champion_is_refused():
    with pytest.raises(Refused, match="does not carry the champion"):
        first_step(FIRST, Carried(image="i@d", champion=B, challengers=(C,)), begun=None)


def test_nobody_is_put_on_trial_beside_another():
    other = start_shadow(FIRST, C, now=NOW, salt="u", lead=ZERO)
    with pytest.raises(Refused, match="is on trial"):
        first_step(other, CARRIED, begun=None)


def test_a_share_grows_by_the_plan_while_no_harm_is_seen():
    shares = []
    experiment = SHADOW
    for _ in range(3):
        step = step_of(experiment, answered_challenger=round(100 * experiment.split))
        assert step.action == "split", step.why
        shares.append(step.share)
        experiment = set_split(experiment, step.share, now=NOW - timedelta(days=2), lead=ZERO)
    assert shares == [0.05, 0.25, 0.5]
    last = step_of(experiment, answered_challenger=50)
    assert last.action == "wait"
    assert "50%, the plan's last share" in last.why


def test_nothing_grows_before_anybody_has_matured():
    step = step_of(SHADOW, days=0)
    assert (step.action, step.why[:26]) == ("wait", "nothing has matured yet: n")


def test_nothing_grows_while_harm_is_not_excluded():
    step = step_of(SHADOW, wins=0, losses=5)
    assert step.action == "wait"
    assert step.why.startswith("harm is not excluded: its log e is ")


def test_a_phase_lasts_as_long_as_the_plan_says():
    step = step_of(SHADOW, plan=Plan(soak=timedelta(days=3)))
    assert step.action == "wait"
    assert "until 2026-03-03 12:00 UTC" in step.why


def test_a_model_that_is_blessed_for_the_shadow_alone_gets_no_share():
    step = step_of(SHADOW, carried=dataclasses.replace(CARRIED, shadow_only=(B,)))
    assert step.action == "wait"
    assert "shadow alone" in step.why


def test_the_verdict_promotes_from_the_shadow_too():
    assert step_of(SHADOW, days=20, wins=15, losses=0, ties=85).action == "promote"


def test_harm_is_rolled_back_at_any_share():
    half = set_split(SHADOW, 0.5, now=NOW, lead=ZERO)
    assert step_of(half, days=5, wins=0, losses=30, ties=70, answered_challenger=50).action == "rollback"


def test_no_step_rests_on_an_invalid_verdict():
    half = set_split(SHADOW, 0.5, now=NOW, lead=ZERO)
    with pytest.raises(Refused, match="the verdict is INVALID"):
        step_of(half, days=5, answered_challenger=1)


def test_no_step_rests_on_a_verdict_about_another_revision():
    verdict = verdict_on(SHADOW)
    later = msgspec.structs.replace(SHADOW, revision=SHADOW.revision + 1)
    with pytest.raises(Refused, match="about revision 2, and the file is at 3"):
        next_step(later, CARRIED, verdict, PLAN, now=NOW)
