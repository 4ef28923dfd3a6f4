"""A rollout that is approved and advanced, with fakes for API server and Jobs; the real ones: tests/cluster."""

import json
import re
from datetime import timedelta

import msgspec
import pytest
from click.testing import CliRunner
from rollout_toys import FIRST, NOW, SHADOW, A, B, C, verdict_on

from bentos.errors import InvalidSetting, NotAllowedByVerdict, NotFound, Refused
from k8s import rollout, rollout_commands
from k8s.advancing import Plan
from k8s.rollout import Rollout
from k8s.running import Ran
from service.scoring.experiment import dump_experiment, end_trial, parse_experiment

IMAGE = f"shop/gauntlet-scoring@{C}"


class FakeInstallation:
    """A ConfigMap with annotations, a scoring Deployment, and pods that follow at once."""

    namespace = "shop"

    def __init__(self, experiment=FIRST, *, image=IMAGE):
        self.experiment, self.image, self.notes = experiment, image, {}

    def __call__(self, *words, given=None):
        if words[0] == "annotate":
            name, _, value = words[2].partition("=")
            assert re.fullmatch(r"[a-z.]+/[0-9a-f]{1,63}", name)  # what the API server takes
            self.notes[name] = value
            return ""
        if words[1] == "configmap/gauntlet-experiment":
            return json.dumps({"metadata": {"annotations": dict(self.notes)}})
        told = {"gauntlet.dev/champion": A, "gauntlet.dev/challengers": B}
        containers = [{"name": "scoring", "image": self.image}]
        template = {"metadata": {"annotations": told}, "spec": {"containers": containers}}
        return json.dumps({"spec": {"template": template}})

    def read_map(self):
        if self.experiment is None:
            raise NotFound("no ConfigMap")
        return dump_experiment(self.experiment).decode(), "1"

    def write_map(self, content, _version):
        self.experiment = parse_experiment(content.encode())
        return True

    def pods(self):
        return ["p1"]

    def annotate(self, pod, value):
        pass

    def metrics(self, pod):
        return (
            f"gauntlet_experiment_revision {self.experiment.revision}\ngauntlet_experiment_file_valid 1\n"
            f'gauntlet_experiment_challenger_present 1\ngauntlet_experiment_mode{{mode="{self.experiment.mode}"}} 1\n'
        )


@pytest.fixture
def jobs(monkeypatch):
    """Jobs that were run; what each ends with is to be filled in by its first word."""
    ran, ends = [], {}

    def run_on(_cluster, cron, words, **_):
        ran.append((cron, words))
        code, output = ends[words[0]]
        return Ran(job="j", exit_code=code, output=output, last_words="", commands=())

    monkeypatch.setattr(rollout, "run_on", run_on)
    return ran, ends


def of(installation):
    return Rollout(installation, installation, who="ann")


def said(verdict):
    return f"a warning of some library\n{msgspec.json.encode(verdict).decode()}\n"


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


@pytest.mark.parametrize("shares", ["", "5,x", "25,5", "5,5", "0,5", "5,101"])
def test_shares_that_do_not_rise_are_refused_and_what_is_allowed_is_told(shares):
    result = CliRunner().invoke(rollout_commands.rollout, ["advance", "--shares", shares])
    assert isinstance(result.exception, InvalidSetting)
    assert "rising percentages up to 100, such as 5,25,50" in str(result.exception)


@pytest.mark.parametrize("soak", ["", "1", "h", "1w", "-1h"])
def test_a_soak_that_is_no_length_is_refused(soak):
    result = CliRunner().invoke(rollout_commands.rollout, ["advance", "--soak", soak])
    assert isinstance(result.exception, InvalidSetting)
    assert "such as 90m, 24h or 7d" in str(result.exception)
