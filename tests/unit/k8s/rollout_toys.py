"""An installation with an experiment, the image that is rolled out, and real verdicts on small ledgers."""

import json
import re
from datetime import UTC, datetime, timedelta

import msgspec
import yaml

from bentos.errors import NotFound, Refused
from k8s.overlay import Carried
from service.scoring.experiment import Experiment, dump_experiment, parse_experiment, start_shadow
from validation.judge.ledger import Cohort, Counts
from validation.judge.policy import OnlinePolicy
from validation.judge.verdict import judge

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ZERO = timedelta(0)
DAY = 86_400_000_000
FIRST = Experiment(revision=1, effective_from=NOW - timedelta(days=9), mode="off", champion=A, salt="s")
IMAGE = f"shop/gauntlet-scoring@{C}"
CARRIED = Carried(image=IMAGE, champion=A, challengers=(B,))
RULES = OnlinePolicy(
    name="toy", metric="accuracy", false_positive_cost=None, claim="non_inferiority", margin=0.02, alpha_promote=0.05,
    alpha_rollback=0.05, alpha_srm=0.001, maturity_window=30 * DAY, cohort=DAY, min_cohorts=1, min_matured=10,
    actions_follow_predictions=False,
)  # fmt: skip
SHADOW = start_shadow(FIRST, B, now=NOW - timedelta(days=2), salt="t", lead=ZERO)


def verdict_on(experiment, *, days=1, wins=3, losses=2, ties=95, answered_challenger=0):
    n = wins + losses + ties
    counts = Counts(
        wins_positive=wins, losses_positive=losses, ties=ties, n=n,
        answered_challenger=answered_challenger, answered_champion=n - answered_challenger,
    )  # fmt: skip
    cohorts = [
        Cohort(
            experiment=experiment.id, start=day * DAY, end=(day + 1) * DAY, revision=experiment.revision,
            mode=experiment.mode, split=experiment.split, policy=RULES.digest, counts=counts, rows_digest="d",
        )
        for day in range(days)
    ]  # fmt: skip
    return judge(cohorts, RULES, experiment)


def said(verdict):
    """What a Job that was asked for a verdict prints."""
    return f"a warning of some library\n{msgspec.json.encode(verdict).decode()}\n"


class FakeInstallation:
    """A ConfigMap with annotations, a scoring Deployment, and pods that follow at once."""

    namespace = "shop"

    def __init__(self, experiment=FIRST, *, image=IMAGE, challengers=(B,)):
        self.experiment, self.image, self.challengers, self.notes = experiment, image, challengers, {}

    def __call__(self, *words, given=None):
        if words[0] == "annotate":
            name, _, value = words[2].partition("=")
            assert re.fullmatch(r"[a-z.]+/[0-9a-f]{1,63}", name)  # what the API server takes
            self.notes[name] = value
            return ""
        if words[1] == "configmap/gauntlet-experiment":
            return json.dumps({"metadata": {"annotations": dict(self.notes)}})
        told = {"gauntlet.dev/champion": A, "gauntlet.dev/challengers": " ".join(self.challengers)}
        containers = [{"name": "scoring", "image": self.image}]
        template = {"metadata": {"annotations": told}, "spec": {"containers": containers}}
        deployment = {"kind": "Deployment", "metadata": {"name": "gauntlet"}, "spec": {"template": template}}
        return yaml.safe_dump(deployment) if words[0] == "kustomize" else json.dumps(deployment)

    def create_map(self, content):
        if self.experiment is not None:
            raise Refused("ConfigMap gauntlet-experiment is in shop already, and is never reset")
        self.experiment = parse_experiment(content.encode())

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
