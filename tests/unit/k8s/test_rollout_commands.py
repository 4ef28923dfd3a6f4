"""`gauntlet rollout` as it is typed: what it prints, and what it refuses before anybody is asked."""

import json

import pytest
from click.testing import CliRunner
from rollout_toys import FIRST, IMAGE, NOW, SHADOW, ZERO, A, B, C, FakeInstallation, said, verdict_on

from bentos.errors import InvalidSetting, Refused
from gauntlet import cli
from service.scoring.experiment import set_split

OVERLAY = "k8s/overlays/production"
SPLIT = set_split(SHADOW, 0.25, now=NOW, lead=ZERO)


@pytest.fixture
def typed(monkeypatch, tmp_path):
    """Runs a subcommand of `gauntlet rollout` on an installation, as ann, as a step of a CI job."""
    for name in ("GAUNTLET_SHARES", "GAUNTLET_SOAK", "GAUNTLET_AS_OF", "GAUNTLET_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GAUNTLET_WHO", "ann")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))

    def run(installation, *words, **variables):
        monkeypatch.setattr("k8s.kubectl.Kubectl", lambda namespace: installation)
        monkeypatch.setattr("k8s.live.current_cluster", lambda namespace: installation)
        return CliRunner().invoke(cli, ["rollout", *words], env=variables)

    return run


def approved(typed, experiment=FIRST, **changes):
    installation = FakeInstallation(experiment, **changes)
    assert typed(installation, "approve", OVERLAY).exit_code == 0
    return installation


def test_an_approval_names_the_digest_who_gave_it_and_whom_it_lets_be_tried(typed):
    done = typed(FakeInstallation(), "approve", OVERLAY)
    assert done.exit_code == 0
    first, challenger = done.stdout.splitlines()
    assert first.startswith(f"{C} is approved: ann, 2")
    assert challenger == f"  challenger {B}"


def test_an_image_that_is_named_by_a_tag_is_not_approved(typed):
    installation = FakeInstallation(image="shop/gauntlet-scoring:1")
    done = typed(installation, "approve", OVERLAY)
    assert isinstance(done.exception, Refused)
    assert "named by a tag" in str(done.exception)
    assert installation.notes == {}


def test_how_a_rollout_stands_before_anybody_did_anything(typed):
    done = typed(FakeInstallation(challengers=()), "show")
    assert done.stdout.splitlines() == [
        f"image      {IMAGE}",
        "approved   by nobody",
        f"champion   {A}",
        "challenger none",
        "trial      not begun",
        "experiment revision 1, mode off",
    ]


def test_how_a_rollout_stands_amid_its_trial(typed):
    installation = approved(typed)
    typed(installation, "advance")
    installation.experiment = SPLIT
    lines = typed(installation, "show").stdout.splitlines()
    assert lines[1].startswith("approved   ann, 2")
    assert lines[3] == f"challenger {B}"
    assert lines[4].startswith("trial      begun 2")
    assert lines[5] == "experiment revision 3, mode split, 25%"


def test_show_as_json_holds_the_same(typed):
    found = json.loads(typed(FakeInstallation(), "show", "--json").stdout)
    assert (found["carried"]["image"], found["approved"], found["begun"]) == (IMAGE, None, None)
    assert found["experiment"]["champion"] == A


def test_a_step_that_nobody_approved_is_not_taken(typed, jobs):
    installation = FakeInstallation()
    done = typed(installation, "advance")
    assert isinstance(done.exception, Refused)
    assert "`gauntlet rollout approve OVERLAY` records who does" in str(done.exception)
    assert installation.experiment == FIRST


def test_the_first_step_is_told_with_its_revision_and_on_the_jobs_page(typed, jobs, tmp_path):
    done = typed(approved(typed), "advance")
    assert done.exit_code == 0
    assert done.stdout.startswith("shadow: ")
    assert done.stdout.endswith("(revision 2)\n")
    assert "… shadow: " in done.stderr
    assert (tmp_path / "summary.md").read_text().startswith("## Rollout: shadow\n\nshadow: ")


def test_a_wider_share_is_told_with_the_verdict_that_it_rests_on(typed, jobs):
    verdict = verdict_on(SHADOW)
    jobs[1]["verdict"] = (0, said(verdict))
    step, told, *reasons = typed(approved(typed, SHADOW), "advance").stdout.splitlines()
    assert step.startswith("split 5%: ")
    assert told == "  verdict KEEP_COLLECTING"
    assert reasons == [f"  - {reason}" for reason in verdict.reasons]
    assert reasons


def test_advance_as_json_holds_step_verdict_and_revision(typed, jobs):
    jobs[1]["verdict"] = (0, said(verdict_on(SHADOW)))
    found = json.loads(typed(approved(typed, SHADOW), "advance", "--json").stdout)
    assert (found["step"]["action"], found["step"]["share"], found["revision"]) == ("split", 0.05, 3)
    assert found["verdict"]["verdict"] == "KEEP_COLLECTING"


def test_the_plan_and_the_moment_come_from_the_environment_of_a_schedule_too(typed, jobs):
    ran, ends = jobs
    ends["verdict"] = (0, said(verdict_on(SHADOW)))
    installation = approved(typed, SHADOW)
    given = {"GAUNTLET_SHARES": "10,50", "GAUNTLET_SOAK": "90m", "GAUNTLET_AS_OF": "2026-04-01T00:00:00Z"}
    done = typed(installation, "advance", **given)
    assert done.stdout.startswith("split 10%: ")
    assert ran == [("promote", ["verdict", "--json", "--as-of", "2026-04-01T00:00:00Z"])]


@pytest.mark.parametrize("moment", ["tomorrow", "2026-04-01T00:00:00"])
def test_a_moment_that_is_none_is_refused_before_anybody_is_asked(typed, jobs, moment):
    done = typed(approved(typed, SHADOW), "advance", "--as-of", moment)
    assert isinstance(done.exception, InvalidSetting)
    assert f"--as-of is {moment!r}; it must" in str(done.exception)
    assert jobs[0] == []


@pytest.mark.parametrize("shares", ["", "5,x", "25,5", "5,5", "0,5", "5,101"])
def test_shares_that_do_not_rise_are_refused_and_what_is_allowed_is_told(shares):
    result = CliRunner().invoke(cli, ["rollout", "advance", "--shares", shares])
    assert isinstance(result.exception, InvalidSetting)
    assert "rising percentages up to 100, such as 5,25,50" in str(result.exception)


@pytest.mark.parametrize("soak", ["", "1", "h", "1w", "-1h", "9999999999d"])
def test_a_soak_that_is_no_length_is_refused(soak):
    result = CliRunner().invoke(cli, ["rollout", "advance", "--soak", soak])
    assert isinstance(result.exception, InvalidSetting)
    assert "it must be 0 to 999999 of m, h or d, such as 90m, 24h or 7d" in str(result.exception)
