"""The thin slice on a real cluster: train, gate, package, serve, experiment, with kubectl alone between the steps.

One installation serves every test; each test that changes the experiment raises its revision and leaves a valid file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster_tools import Answer, CommandFailed, Kube, Step, ask, wait_for
from installing import HOST, INGRESS, LEAD, Installation, ask_store, metric

from service import metric_names
from service.scoring.experiment import dump_experiment, set_split, start_shadow, stop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def test_a_passed_gate_ends_with_zero(installation: Installation) -> None:
    assert installation.kube.exit_code("gate-champion") == 0
    assert installation.kube.exit_code("gate-challenger") == 0


def test_a_plainly_worse_candidate_is_stopped_by_the_gate_and_cannot_be_packed(
    installation: Installation, gauntlet: Callable[..., str], step: Step, tmp_path: Path
) -> None:
    """A single tree, its splits drawn at random and grown to the last leaf: there is no image of it to roll out."""
    kube = installation.kube
    with step("train and gate Jobs: a worse candidate"):
        assert kube.run_job("train-worse", "train", ESTIMATOR="sklearn.tree.ExtraTreeClassifier")
        assert not kube.run_job("gate-worse", "gate")
    assert kube.exit_code("gate-worse") == 1
    options = ("--challenger", "models:/churn@candidate", "--folder", tmp_path / "home")
    with kube.forward("service/gauntlet-mlflow", 5000) as tracking, pytest.raises(CommandFailed, match="blessing"):
        gauntlet("package", *options, tracking=tracking)
    assert not (tmp_path / "home" / "bento").exists()


def test_a_gate_that_cannot_judge_is_an_error(installation: Installation) -> None:
    assert not installation.kube.run_job("gate-nobody", "gate", CANDIDATE="models:/nobody@candidate")
    assert installation.kube.exit_code("gate-nobody") == 3


def test_two_replicas_serve_the_champion_alone_while_nobody_is_on_trial(installation: Installation) -> None:
    installation.change(stop(installation.experiment(), now=datetime.now(UTC), lead=timedelta(0)))
    champion = installation.roles.champion.digest
    for url in installation.replicas():
        assert ask(f"{url}/readyz").status == 200
        said = installation.ask(f"{url}/v1/experiment").json()
        assert (said["mode"], said["champion"]["digest"]) == ("off", champion)


def test_a_score_comes_through_the_ingress(installation: Installation) -> None:
    def routed() -> Answer | None:
        answer = installation.score("7590-VHVEG", url=INGRESS, host=HOST)
        return None if answer.status in (404, 503) else answer  # the controller sees Ingress and pods a moment later

    answer = wait_for(routed, "the Ingress has no route to the service", seconds=30)
    assert answer.status == 200, answer.text
    assert 0 <= answer.json()["probability"] <= 1
    assert answer.json()["model"]["digest"] == installation.roles.champion.digest


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/"])
def test_the_ingress_leads_to_public_routes_only(installation: Installation, path: str) -> None:
    assert ask(f"{INGRESS}{path}", host=HOST).status == 404


def test_without_a_key_nobody_is_answered(installation: Installation) -> None:
    for answer in (ask(f"{INGRESS}/v1/score", {"features": {}}, host=HOST), ask(f"{INGRESS}/v1/experiment", host=HOST)):
        assert (answer.status, answer.json()["title"]) == (401, "An API key is needed")


def test_bad_input_through_the_ingress_is_a_problem_that_names_the_field(installation: Installation) -> None:
    answer = installation.ask(f"{INGRESS}/v1/score", {"customer_id": "1", "features": {"Nonsense": 1}}, host=HOST)
    assert 400 <= answer.status < 500
    assert "Nonsense" in answer.text


def test_a_shadow_is_seen_by_both_replicas_and_returned_by_none(installation: Installation, step: Step) -> None:
    challenger = installation.roles.challengers[0].digest
    with step("shadow seen by both replicas"):
        now = datetime.now(UTC)
        installation.change(start_shadow(installation.experiment(), challenger, now=now, salt="cluster", lead=LEAD))
    for url in installation.replicas():
        said = installation.ask(f"{url}/v1/experiment").json()
        assert (said["mode"], said["challenger"]["digest"]) == ("shadow", challenger)
        assert {installation.score(f"c{i}", url=url).json()["variant"] for i in range(20)} == {"champion"}


def test_a_split_gives_a_customer_the_same_variant_from_both_replicas(installation: Installation, step: Step) -> None:
    challenger = installation.roles.challengers[0].digest
    now = datetime.now(UTC)
    off = stop(installation.experiment(), now=now, lead=timedelta(0))
    shadow = start_shadow(off, challenger, now=now, salt="cluster", lead=timedelta(0))
    with step("split seen by both replicas"):
        installation.change(set_split(shadow, 0.5, now=now, lead=LEAD))
    first, second = (
        [installation.score(f"customer-{i}", url=url).json()["variant"] for i in range(200)]
        for url in installation.replicas()
    )
    assert first == second
    assert set(first) == {"champion", "challenger"}


def test_the_command_changes_the_split_and_waits_for_every_pod(
    installation: Installation, gauntlet: Callable[..., str], step: Step
) -> None:
    """With the current kubeconfig, and no folder of its own; what it prints does the same with kubectl."""
    before = installation.experiment()
    said: list[str] = []
    with step("gauntlet experiment split 25 --on-cluster"):
        gauntlet("experiment", "split", "25", "--on-cluster", "--namespace", installation.kube.namespace, errors=said)
    after = installation.experiment()
    assert (after.split, after.revision) == (0.25, before.revision + 1)
    assert {installation.ask(f"{url}/v1/experiment").json()["revision"] for url in installation.replicas()} == {
        after.revision
    }
    assert f"all {len(installation.replicas())} pods answer by revision {after.revision}" in said[0]
    with step("gauntlet experiment off --on-cluster"):
        gauntlet("experiment", "off", "--on-cluster", "--namespace", installation.kube.namespace)
    assert installation.experiment().mode == "off"


def test_replicas_switch_at_the_instant_and_not_before(installation: Installation) -> None:
    before = installation.experiment()
    later = stop(before, now=datetime.now(UTC), lead=timedelta(hours=1))
    installation.write(dump_experiment(later))
    wait_for(
        lambda: all(has_read(installation.kube, pod, later.revision) for pod in installation.kube.pods("scoring")),
        f"not every replica read revision {later.revision}",
    )
    for url in installation.replicas():
        assert installation.ask(f"{url}/v1/experiment").json()["revision"] == before.revision


def test_a_bad_experiment_file_keeps_the_last_good_one(installation: Installation, step: Step) -> None:
    good = installation.experiment()
    with step("bad file noticed by both replicas"):
        installation.write(b"mode: split\nsplit: 7\n")
        wait_for(
            lambda: all(metric(url, metric_names.EXPERIMENT_FILE_VALID) == 0 for url in installation.replicas()),
            "not every replica noticed that the file is bad",
        )
    for url in installation.replicas():
        assert ask(f"{url}/readyz").status == 200
        assert installation.score("7590-VHVEG", url=url).status == 200
    installation.change(stop(good, now=datetime.now(UTC), lead=timedelta(0)))
    assert all(metric(url, metric_names.EXPERIMENT_FILE_VALID) == 1 for url in installation.replicas())


def has_read(kube: Kube, pod: str, revision: int) -> bool:
    """Whether a pod has logged that it read a revision."""
    events = [json.loads(line) for line in kube("logs", pod).splitlines() if line.startswith("{")]
    return any(e.get("event") == "experiment_read" and e.get("revision") == revision for e in events)


def test_what_was_answered_is_in_postgresql(installation: Installation) -> None:
    """The sidecars move it there; the ids are those that the clients got."""
    answers = [installation.score(f"logged-{i}", url=url).json() for url in installation.replicas() for i in range(20)]
    wanted = {answer["prediction_id"] for answer in answers}

    def landed() -> bool:
        return wanted <= set(ask_store(installation.kube, "select prediction_id from predictions"))

    wait_for(landed, f"not all of {len(wanted)} predictions came to PostgreSQL", seconds=60)


def test_an_outcome_reaches_the_store_and_the_judge_answers_through_scoring(installation: Installation) -> None:
    score = installation.score("told", url=INGRESS, host=HOST).json()
    observed = datetime.now(UTC).isoformat()
    told = {"prediction_id": score["prediction_id"], "outcome": installation.contract.labels.positive}
    answer = installation.ask(f"{INGRESS}/v1/outcomes", {**told, "observed_at": observed}, host=HOST)
    assert answer.status in (200, 202), answer.text
    one = f"select count(*) from outcomes where prediction_id = '{score['prediction_id']}'"
    wait_for(lambda: ask_store(installation.kube, one) == ["1"], "the outcome did not come to PostgreSQL", seconds=60)

    def judged() -> bool:
        said = installation.ask(f"{INGRESS}/v1/experiment", host=HOST).json()["judge"]
        return said["status"] == "available" and bool(said["verdict"]["verdict"])

    wait_for(judged, "the judge never answered through scoring", seconds=60)


def test_the_judge_knows_who_is_protected_without_anybodys_doing(installation: Installation) -> None:
    """It asks scoring's admin port for the champion's contract."""
    with installation.kube.forward("service/gauntlet-judge", 3002) as judge:
        known = f"{metric_names.Judge.CONTRACT_KNOWN} 1.0"
        wait_for(lambda: known in ask(f"{judge}/metrics").text.splitlines(), "it never knew the contract", seconds=60)


def test_a_dump_of_the_database_is_made_and_can_be_read(installation: Installation, step: Step) -> None:
    with step("nightly dump"):
        assert installation.kube.run_job("dump-now", "gauntlet-postgres-dump", seconds=180)
