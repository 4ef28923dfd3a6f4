"""Roles changed by Jobs: refused where the verdict does not allow it, else carried out to the last pod."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cluster_tools import CommandFailed, Kube, Step
from installing import Installation, ask_store

from service.scoring.experiment import start_shadow, stop

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ACCOUNT = "gauntlet-roles"


@pytest.fixture
def on_trial(installation: Installation) -> Installation:
    """A challenger in the shadow, of whom nothing is known yet."""
    now = datetime.now(UTC)
    off = stop(installation.experiment(), now=now, lead=timedelta(0))
    challenger = installation.roles.challengers[0].digest
    installation.change(start_shadow(off, challenger, now=now, salt="roles", lead=timedelta(0)))
    return installation


def granted(kube: Kube) -> set[tuple[str, str]]:
    """What the ServiceAccount may do: verb and resource."""
    rules = kube.read("role", ACCOUNT)["rules"]
    return {(verb, resource) for rule in rules for verb in rule["verbs"] for resource in rule["resources"]}


def asked(kube: Kube) -> dict[tuple[str, str], set[int]]:
    """What it asked of the API server, by the server's audit log, with the answers' status."""
    log = Path(kube.environment["KUBECONFIG"]).parent / "log" / "audit.log"
    found: dict[tuple[str, str], set[int]] = {}
    account = f"system:serviceaccount:{kube.namespace}:{ACCOUNT}"
    for line in log.read_text().splitlines():
        if account not in line:
            continue
        event = json.loads(line)
        # Not those who were somebody else and asked in its name, as tests of what it may not do are.
        if event["stage"] == "ResponseComplete" and event["user"]["username"] == account:
            call = (event["verb"], event["objectRef"]["resource"])
            found.setdefault(call, set()).add(event["responseStatus"]["code"])
    return found


def test_a_promotion_without_evidence_is_refused_with_the_verdict(
    on_trial: Installation, gauntlet: Callable[..., str], step: Step
) -> None:
    before = on_trial.experiment()
    with step("gauntlet promote --on-cluster, refused"), pytest.raises(CommandFailed, match="exit code 2") as refused:
        gauntlet("promote", "--on-cluster", "--namespace", on_trial.kube.namespace)
    assert "no promotion: the verdict is KEEP_COLLECTING" in str(refused.value)
    assert "the verdict is KEEP_COLLECTING" in on_trial.kube("get", "events", "--field-selector=reason=Failed")
    assert f"kubectl --namespace {on_trial.kube.namespace} create job promote-" in str(refused.value)
    assert on_trial.experiment() == before


def test_a_rollback_with_a_reason_reaches_every_pod_the_audit_and_the_registry(
    on_trial: Installation, gauntlet: Callable[..., str], step: Step
) -> None:
    kube, before = on_trial.kube, on_trial.experiment()
    reason = "it's a test"
    with step("gauntlet rollback --on-cluster"):
        said = gauntlet("rollback", "--reason", reason, "--on-cluster", "--namespace", kube.namespace)
    after = on_trial.experiment()
    assert (after.mode, after.challenger, after.revision) == ("off", None, before.revision + 1)
    assert f"all {len(on_trial.replicas())} pods answer by revision {after.revision}" in said
    assert {on_trial.ask(f"{url}/v1/experiment").json()["revision"] for url in on_trial.replicas()} == {after.revision}
    row = "select aliases from audit where action = 'rollback' order by number desc limit 1"
    assert ask_store(kube, row) == ["moved"]
    assert asked(kube).keys() == granted(kube), "rights and calls are not the same"
    assert set().union(*asked(kube).values()) <= {200}


def test_the_same_by_kubectl_alone(on_trial: Installation, step: Step) -> None:
    kube, before = on_trial.kube, on_trial.experiment()
    with step("kubectl create job --from=cronjob/rollback"):
        assert kube.run_job("rollback-by-hand", "rollback", GAUNTLET_REASON="by hand")
    assert on_trial.experiment().revision == before.revision + 1
    (pod,) = kube.read("pods", "-l", "job-name=rollback-by-hand")["items"]
    (container,) = pod["status"]["containerStatuses"]
    assert "rolled back" in container["state"]["terminated"]["message"]
