"""Insight behind scoring on a real cluster: explanations through the Ingress, and scoring that does without it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from cluster_tools import Answer, Step, TestCluster, wait_for
from installing import HOST, INGRESS, Installation, features_of

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]


def explain(installation: Installation, **asked: Any) -> Answer:
    body = {"features": features_of(installation.contract), **asked}
    return installation.ask(f"{INGRESS}/v1/explain", body, host=HOST)


def ready(installation: Installation) -> bool:
    return bool(installation.kube.pods("insight"))


@pytest.mark.parametrize("variant", ["champion", "challenger"])
def test_each_packed_models_word_is_explained_and_adds_up(installation: Installation, variant: str) -> None:
    roles = installation.roles
    model = roles.champion if variant == "champion" else roles.challengers[0]
    wait_for(lambda: ready(installation), "insight never became ready")
    answer = explain(installation, model=model.digest)
    assert answer.status == 200, answer.text
    said = answer.json()
    explanation = said["explanation"]
    total = explanation["base_value"] + math.fsum(explanation["contributions"].values())
    assert said["model"]["digest"] == model.digest
    assert total == pytest.approx(explanation["check"]["output"], abs=1e-6)


def test_without_groqs_key_the_template_drafts_and_says_so(installation: Installation) -> None:
    wait_for(lambda: ready(installation), "insight never became ready")
    body = {"customer_id": "7590-VHVEG", "features": features_of(installation.contract), "language": "de"}
    answer = installation.ask(f"{INGRESS}/v1/retention-email", body, host=HOST)
    assert answer.status == 200, answer.text
    said = answer.json()
    assert (said["source"], said["sending"]["is_sent"]) == ("template", False)
    assert "7590-VHVEG" not in answer.text


def test_while_insight_is_away_customers_are_scored_and_whoever_asks_why_is_told(
    installation: Installation, step: Step
) -> None:
    kube = installation.kube
    kube("scale", "deployment/gauntlet-insight", "--replicas=0")
    try:
        wait_for(lambda: not ready(installation), "insight never went")
        answer = wait_for(lambda: _refused(explain(installation)), "insight still answers")
        assert "insight at http://gauntlet-insight:3004 does not answer" in answer.json()["detail"]
        assert installation.score("7590-VHVEG", url=INGRESS, host=HOST).status == 200
    finally:
        kube("scale", "deployment/gauntlet-insight", "--replicas=1")
        with step("insight back"):
            kube("rollout", "status", "deployment/gauntlet-insight", "--timeout=120s")
    assert explain(installation).status == 200


def test_a_worker_that_is_killed_is_replaced_and_the_pod_lives_on(
    installation: Installation, cluster: TestCluster
) -> None:
    kube = installation.kube
    wait_for(lambda: ready(installation), "insight never became ready")
    (pod,) = kube.pods("insight")
    kill = (
        "import os, pathlib, signal\n"
        "for one in pathlib.Path('/proc').glob('[0-9]*'):\n"
        "    words = (one / 'cmdline').read_bytes().split(b'\\0')\n"
        "    if b'service.insight.worker' in words:\n"
        "        os.kill(int(one.name), signal.SIGKILL)\n"
    )
    kube("exec", pod, "--", "python", "-c", kill)
    answer = wait_for(lambda: _answered(explain(installation)), "the row was never explained", seconds=60)
    assert answer.status == 200
    (status,) = kube.read("pod", pod)["status"]["containerStatuses"]
    assert status["restartCount"] == 0


def _refused(answer: Answer) -> Answer | None:
    return answer if answer.status == 503 else None


def _answered(answer: Answer) -> Answer | None:
    return answer if answer.status == 200 else None
