"""No model without its blessing: what Jobs say of a model, and what the cluster refuses to run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from cluster_tools import ROOT, CommandFailed, Kube, Step, ask, wait_for
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


MODELS = "/app/bento/models"
"""Where the scoring image has its models, in BentoML's layout."""
OTHER_KEY = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


class Other:
    """A scoring Deployment beside the installation's own, which no Service selects and of which something is different.

    Args:
        installation: The one whose Deployment it copies.
        name: Its component.
        trust: Entries of its own copy of the ConfigMap `gauntlet-trust` that are other ones, or further ones.
        over: The entry that takes the place of a file in its container; None where it is only what is trusted.
    """

    def __init__(
        self, installation: Installation, name: str, *, trust: Mapping[str, str], over: tuple[str, str] | None = None
    ) -> None:
        self._kube, self._component, self.name = installation.kube, name, f"gauntlet-{name}"
        trusted = self._kube.read("configmap", "gauntlet-trust")
        trusted["metadata"] = {"name": self.name}
        trusted["data"] |= trust
        deployment = beside(self._kube.read("deployment", "gauntlet"), self.name, trust=self.name)
        if over is not None:
            entry, place = over
            (scoring,) = deployment["spec"]["template"]["spec"]["containers"]
            scoring["volumeMounts"].append({"name": "trust", "subPath": entry, "mountPath": place, "readOnly": True})
        for manifest in (trusted, deployment):
            self._kube("create", "-f", "-", given=json.dumps(manifest))

    def address(self) -> str | None:
        """The address of its pod once that is ready."""
        return next(iter(self._kube.pods(self._component).values()), None)

    def ends(self) -> int:
        """How often its container of scoring has ended."""
        chosen = f"app.kubernetes.io/component={self._component}"
        pods = self._kube.read("pods", "-l", chosen)["items"]
        containers = [one for pod in pods for one in pod["status"].get("containerStatuses", ())]
        return sum(one["restartCount"] + ("terminated" in one["state"]) for one in containers)

    def logs(self) -> str:
        """What its container of scoring says, and what the one before it said."""
        chosen = ("-l", f"app.kubernetes.io/component={self._component}", "-c", "scoring", "--tail=50")
        return "".join(self._kube("logs", *chosen, *which, may_fail=True) for which in ((), ("--previous",)))

    def delete(self) -> None:
        """Take it away again."""
        self._kube("delete", "deployment,configmap", self.name, "--wait=false")


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


def test_a_champion_that_another_key_signed_serves_on_and_says_so(installation: Installation, step: Step) -> None:
    """A lost or changed key stops nobody's answers; it is the challenger whom nobody hears any more."""
    distrusting = Other(installation, "distrusting", trust={"blessing.pub": OTHER_KEY})
    try:
        with step("another key's champion ready"):
            address = wait_for(distrusting.address, "a champion of another key's does not serve", seconds=120)
        lines = ask(f"http://{address}:3001/metrics").text.splitlines()
        holds = {line.rsplit(" ")[-1] for line in lines if line.startswith("gauntlet_blessing_holds{")}
        assert {float(value) for value in holds} == {0.0}
        assert "churn version 1" in distrusting.logs()
        assert "signed by another key" in distrusting.logs()
    finally:
        distrusting.delete()


@pytest.mark.parametrize(
    ("file", "why"),
    [("blessing.json", "churn version 1 must not be served"), ("training.json", "training.json")],
    ids=["unblessed", "other bytes"],
)
def test_a_model_that_was_never_blessed_never_becomes_ready_and_says_why(
    installation: Installation, step: Step, file: str, why: str
) -> None:
    """The champion with a file of the challenger's: a blessing that is another model's, and bytes that none was for."""
    champion, challenger = (
        f"{MODELS}/{model.tag.replace(':', '/')}/artifact/{file}" for model in installation.roles.models
    )
    kube = installation.kube
    taken = kube("exec", "deployment/gauntlet", "-c", "scoring", "--", "cat", challenger)
    never = Other(installation, f"never-{file.removesuffix('.json')}", trust={file: taken}, over=(file, champion))
    try:
        with step(f"the champion with another {file} ended twice"):
            wait_for(lambda: never.address() or never.ends() >= 2, "it neither serves nor ends", seconds=120)
        assert never.address() is None
        assert why in never.logs()
    finally:
        never.delete()


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
