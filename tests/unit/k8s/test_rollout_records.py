"""A rollout that is approved and advanced, with fakes for API server and Jobs; the real ones: tests/cluster."""

from datetime import timedelta

import pytest
from rollout_toys import FIRST, NOW, SHADOW, A, B, C, FakeInstallation, said, verdict_on

from bentos.errors import NotAllowedByVerdict, Refused
from k8s.advancing import Plan
from k8s.rollout import Rollout
from service.scoring.experiment import end_trial


def of(installation):
    return Rollout(installation, installation, who="ann")


def test_nothing_advances_that_nobody_approved(jobs):
    installation = FakeInstallation()
    with pytest.raises(Refused, match=f"nobody approved the rollout of {C}"):
        of(installation).advance(Plan())
    assert installation.experiment == FIRST
    assert jobs[0] == []


def test_an_approval_is_of_one_image_and_recorded_once(jobs):
    installation = FakeInstallation()
    carried = of(installation).standing().carried
    first = of(installation).approve(carried)
    again = Rollout(installation, installation, who="bob").approve(carried)
    assert first == again
    assert first.startswith("ann, 2")
    installation.image = f"shop/gauntlet-scoring@{A}"
    with pytest.raises(Refused, match=f"nobody approved the rollout of {A}"):
        of(installation).advance(Plan())


def test_an_image_that_is_named_by_a_tag_cannot_be_approved():
    installation = FakeInstallation(image="shop/gauntlet-scoring:1")
    with pytest.raises(Refused, match="named by a tag"):
        of(installation).standing()


def approved(experiment=FIRST):
    installation = FakeInstallation(experiment)
    of(installation).approve(of(installation).standing().carried)
    return installation


def test_the_first_step_is_the_shadow_and_asks_no_verdict(jobs):
    installation = approved()
    advanced = of(installation).advance(Plan())
    assert (advanced.step.action, advanced.verdict, advanced.revision) == ("shadow", None, 2)
    assert (installation.experiment.mode, installation.experiment.challenger) == ("shadow", B)
    assert of(installation).standing().begun is not None


def test_a_challenger_whose_trial_was_ended_stays_out(jobs):
    installation = approved()
    of(installation).advance(Plan())
    installation.experiment = end_trial(installation.experiment, B, now=NOW, lead=timedelta(0))
    assert of(installation).advance(Plan()).step.action == "done"
    assert installation.experiment.mode == "off"


def test_the_verdict_is_asked_of_a_job_and_widens_the_split_by_one_step(jobs):
    ran, ends = jobs
    ends["verdict"] = (0, said(verdict_on(SHADOW)))
    installation = approved(SHADOW)
    advanced = of(installation).advance(Plan(), as_of="2026-04-01T00:00:00Z")
    assert ran == [("promote", ["verdict", "--json", "--as-of", "2026-04-01T00:00:00Z"])]
    assert (advanced.step.action, installation.experiment.split) == ("split", 0.05)


def test_a_verdict_of_promote_is_carried_out_by_the_promotion_s_own_job(jobs):
    ran, ends = jobs
    ends["verdict"] = (0, said(verdict_on(SHADOW, days=20, wins=15, losses=0, ties=85)))
    ends["promote"] = (0, "promoted")
    of(approved(SHADOW)).advance(Plan())
    assert ran[-1] == ("promote", ["promote"])


def test_a_promotion_that_its_job_refuses_is_refused(jobs):
    _, ends = jobs
    ends["verdict"] = (0, said(verdict_on(SHADOW, days=20, wins=15, losses=0, ties=85)))
    ends["promote"] = (2, "gauntlet: no promotion: the blessing expired")
    with pytest.raises(NotAllowedByVerdict, match="the blessing expired"):
        of(approved(SHADOW)).advance(Plan())


def test_without_a_verdict_there_is_no_step(jobs):
    _, ends = jobs
    ends["verdict"] = (2, "gauntlet: the store does not answer")
    installation = approved(SHADOW)
    with pytest.raises(Refused, match=r"there is no verdict: .*the store does not answer"):
        of(installation).advance(Plan())
    assert installation.experiment == SHADOW
