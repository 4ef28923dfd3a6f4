"""No model without its blessing: what Jobs say of a model, and what the cluster refuses to run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from cluster_tools import ROOT, CommandFailed, Kube, Step, wait_for
from installing import Installation
from kubernetes import client, config

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

ZERO = "sha256:" + "0" * 64
ENFORCED = "gauntlet.dev/admission"


def last_words(kube: Kube, job: str) -> str:
    """What a Job's only container left behind."""
    (pod,) = kube.read("pods", "-l", f"job-name={job}")["items"]
    (container,) = pod["status"]["containerStatuses"]
    return str(container["state"]["terminated"].get("message", ""))


def test_a_jobs_last_words_are_the_verdict_with_its_first_reason(installation: Installation) -> None:
    kube = installation.kube
    assert last_words(kube, "train-champion").startswith("churn version 1, candidate: sha256:")
    said = last_words(kube, "gate-challenger")
    assert said.startswith("PASS churn version 2, blessed until ")
    assert said.endswith(" checks passed")


def test_a_gate_that_cannot_judge_says_why(installation: Installation) -> None:
    kube = installation.kube
    assert not kube.run_job("gate-none", "gate", CANDIDATE="models:/none@candidate")
    assert "ERROR: models:/none@candidate is not in the registry" in last_words(kube, "gate-none")


def test_the_gate_signed_what_scoring_trusts(installation: Installation) -> None:
    """Both replicas are ready, in production mode and with a public key, so the signature holds; and they say so."""
    for url in installation.replicas():
        said = installation.ask(f"{url}/v1/experiment").json()
        assert said["champion"]["digest"] == installation.roles.champion.digest


@pytest.fixture
def distrusting(installation: Installation, step: Step) -> Iterator[str]:
    """A scoring Deployment beside the other whose public key is of somebody else's gate."""
    kube = installation.kube
    deployment = kube.read("deployment", "gauntlet")
    trust = kube.read("configmap", "gauntlet-trust")
    name = "gauntlet-distrusting"
    trust["metadata"] = {"name": name}
    trust["data"]["blessing.pub"] = OTHER_KEY
    kube("create", "-f", "-", given=json.dumps(trust))
    kube("create", "-f", "-", given=json.dumps(beside(deployment, name, trust=name)))
    yield name
    kube("delete", "deployment,configmap", name, "--wait=false")


OTHER_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


def beside(deployment: dict[str, Any], name: str, *, trust: str) -> dict[str, Any]:
    """The same Deployment under another name, which no Service selects, with one replica."""
    component = name.removeprefix("gauntlet-")
    template = deployment["spec"]["template"]
    template["metadata"]["labels"]["app.kubernetes.io/component"] = component
    for volume in template["spec"]["volumes"]:
        if volume["name"] == "trust":
            volume["configMap"]["name"] = trust
    labels = {"app.kubernetes.io/name": "gauntlet", "app.kubernetes.io/component": component}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
    }


def test_a_model_that_no_trusted_gate_blessed_never_becomes_ready_and_says_why(
    installation: Installation, distrusting: str, step: Step
) -> None:
    kube = installation.kube
    chosen = f"app.kubernetes.io/component={distrusting.removeprefix('gauntlet-')}"

    def refusal() -> str | None:
        logs = kube("logs", "-l", chosen, "-c", "scoring", "--tail=50", may_fail=True)
        previous = kube("logs", "-l", chosen, "-c", "scoring", "--previous", "--tail=50", may_fail=True)
        return next((line for line in (logs + previous).splitlines() if "signed" in line or "blessing" in line), None)

    with step("an unblessed model refused"):
        said = wait_for(refusal, "the pod did not say why it does not serve", seconds=120)
    assert "churn version 1" in said
    assert kube.pods(distrusting.removeprefix("gauntlet-")) == {}


@pytest.fixture(scope="module")
def admission(installation: Installation, step: Step) -> Iterator[Kube]:
    """The cluster's admission policy, enforced in the test's namespace until the module ends."""
    kube = installation.kube
    with step("admission policy in force"):
        kube("apply", "-k", ROOT / "k8s" / "cluster")
        kube("label", "namespace", kube.namespace, f"{ENFORCED}=enforce")
        tagged = plain(kube.read("deployment", "gauntlet"), image="registry.example/scoring:1")
        wait_for(lambda: refused(kube, tagged), "the policy never came into force", seconds=60)
    yield kube
    kube("label", "namespace", kube.namespace, f"{ENFORCED}-")
    kube("delete", "-k", ROOT / "k8s" / "cluster")


def plain(deployment: dict[str, Any], *, image: str, **annotations: str) -> dict[str, Any]:
    """A scoring Deployment that is only asked whether it would be let in."""
    found = beside(deployment, "gauntlet-asked", trust="gauntlet-trust")
    labels = {"app.kubernetes.io/name": "gauntlet", "app.kubernetes.io/component": "scoring", "asked": "yes"}
    found["spec"]["selector"]["matchLabels"] = labels
    template = found["spec"]["template"]
    template["metadata"] = {"labels": labels, "annotations": annotations}
    for container in (*template["spec"]["containers"], *template["spec"]["initContainers"]):
        container["image"] = image
    return found


def refused(kube: Kube, manifest: dict[str, Any]) -> str | None:
    """Why the API server would not let it in; None where it would."""
    try:
        kube("create", "--dry-run=server", "-f", "-", given=json.dumps(manifest))
    except CommandFailed as e:
        return str(e)
    return None


BLESSED = {"gauntlet.dev/champion": ZERO, "gauntlet.dev/blessings": f"{ZERO} {ZERO}"}
PINNED = f"registry.example/scoring@{ZERO}"


@pytest.mark.parametrize(
    ("image", "annotations", "why"),
    [
        (PINNED, BLESSED, None),
        ("registry.example/scoring:1", BLESSED, "registry.example/scoring:1 is named by a tag"),
        (f"registry.example/scoring:1@{ZERO[:-1]}", BLESSED, "is named by a tag"),
        (PINNED, {}, "annotation gauntlet.dev/champion of the pod template must be the champion's digest"),
        (PINNED, {**BLESSED, "gauntlet.dev/champion": "churn"}, "annotation gauntlet.dev/champion"),
        (PINNED, {**BLESSED, "gauntlet.dev/blessings": ""}, "annotation gauntlet.dev/blessings"),
    ],
)
def test_the_api_server_lets_in_what_is_pinned_and_blessed_alone(
    admission: Kube, image: str, annotations: dict[str, str], why: str | None
) -> None:
    said = refused(admission, plain(admission.read("deployment", "gauntlet"), image=image, **annotations))
    assert (said is None) == (why is None), said
    assert why is None or why in str(said)


def test_other_deployments_are_not_asked(admission: Kube) -> None:
    judge = plain(admission.read("deployment", "gauntlet"), image="registry.example/judge:1")
    for labels in (judge["spec"]["selector"]["matchLabels"], judge["spec"]["template"]["metadata"]["labels"]):
        labels["app.kubernetes.io/component"] = "judge"
    assert refused(admission, judge) is None


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ({"metadata": {"annotations": {"gauntlet.dev/experiment-revision": "99"}}}, None),
        ({"metadata": {"annotations": {"other": "1"}}}, "gauntlet.dev/experiment-revision of pods, and no other"),
        ({"metadata": {"labels": {"app.kubernetes.io/component": "roles"}}}, "and not label them"),
        ({"spec": {"containers": [{"name": "scoring", "image": "other:1"}]}}, "and not change what they run"),
    ],
    ids=["its annotation", "another annotation", "a label", "an image"],
)
def test_who_changes_roles_may_annotate_pods_and_do_nothing_else_to_them(
    admission: Kube, patch: dict[str, Any], why: str | None
) -> None:
    """RBAC knows no fields: it may patch pods, and the policy says which part. kubectl would read the pod first."""
    with config.new_client_from_config(admission.environment["KUBECONFIG"]) as api:
        api.set_default_header("Impersonate-User", f"system:serviceaccount:{admission.namespace}:gauntlet-roles")
        (pod, *_) = sorted(admission.pods("scoring"))

        def said() -> str:
            try:
                client.CoreV1Api(api).patch_namespaced_pod(pod, admission.namespace, patch, dry_run="All")
            except client.ApiException as e:
                return str(json.loads(e.body)["message"])
            return ""

        if why is None:
            assert said() == ""
        else:
            wait_for(lambda: why in said(), f"never refused: {said()}", seconds=30)
