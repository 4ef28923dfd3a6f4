"""An overlay rolled out and taken back, with a kubectl that keeps objects in memory; the real one: tests/cluster."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from bentos.errors import BadInput, NotFound, Refused
from k8s.deploying import Undone, deploy
from k8s.overlay import parse_overlay
from k8s.smoke import Checked
from service.scoring.experiment import Experiment, dump_experiment, parse_experiment, start_shadow

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
NOW = datetime(2026, 3, 1, tzinfo=UTC)
OVERLAY = Path("k8s/overlays/staging")
FIRST = Experiment(revision=4, effective_from=NOW, mode="off", champion=A, salt="s")
APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
GOOD = (Checked("score", True, "No at 0.1"),)
BAD = (*GOOD, Checked("explain", False, "POST /v1/explain was answered 503"))


def manifests(*, image=f"shop/gauntlet-scoring@{C}", champion=A, challengers=(B,), limit="1"):
    told = {"gauntlet.dev/champion": champion, "gauntlet.dev/challengers": " ".join(challengers)}
    template = {
        "metadata": {"annotations": told},
        "spec": {"containers": [{"name": "scoring", "image": image}]},
    }
    return [
        {"kind": "ConfigMap", "metadata": {"name": "gauntlet-settings"}, "data": {"limit": limit}},
        {"kind": "Deployment", "metadata": {"name": "gauntlet"}, "spec": {"template": template}},
        {
            "kind": "Ingress",
            "metadata": {"name": "gauntlet"},
            "spec": {"rules": [{"host": "gauntlet.example"}], "tls": [{}]},
        },
    ]


class FakeKubectl:
    """A namespace whose workloads come up unless their image is among the broken ones."""

    namespace = "shop"

    def __init__(self, rendered, *, standing=(), broken=()):
        self.rendered, self.broken = rendered, broken
        self.objects, self.history, self.said = {}, [], []
        for manifest in standing:
            self.apply(manifest)

    def __call__(self, *arguments, given=None):
        words = [str(word) for word in arguments]
        self.said.append(" ".join(words))
        return getattr(self, f"on_{words[0]}")(words[1:], given) or ""

    def apply(self, manifest):
        name = f"{manifest['kind'].lower()}/{manifest['metadata']['name']}"
        if name == "deployment/gauntlet":
            self.history.append(manifest)
        kept = json.loads(json.dumps(manifest))
        kept["metadata"]["annotations"] = {APPLIED: json.dumps(manifest)}
        self.objects[name] = kept

    def on_kustomize(self, _words, _given):
        return yaml.safe_dump_all(self.rendered)

    def on_get(self, words, given):
        if words[0] == "pods":
            status = {"containerStatuses": [{"name": "scoring", "state": {"waiting": {"reason": "ErrImagePull"}}}]}
            return json.dumps({"items": [{"status": status}]})
        if words[0] == "deployment/gauntlet":
            return json.dumps({"spec": {"selector": {"matchLabels": {"a": "b"}}}})
        wanted = [f"{found['kind'].lower()}/{found['metadata']['name']}" for found in yaml.safe_load_all(given)]
        items = [self.objects[name] for name in wanted if name in self.objects]
        return json.dumps({"items": items}) if items else ""

    def on_apply(self, words, given):
        for manifest in self.rendered if words[0] == "-k" else [json.loads(given)]:
            self.apply(manifest)

    def on_rollout(self, words, _given):
        if words[0] == "undo":
            self.history.pop()
            self.apply(self.history.pop())
        elif self.image in self.broken:
            raise Refused("kubectl rollout status failed with exit code 1:\nerror: timed out waiting")

    @property
    def image(self):
        return self.objects["deployment/gauntlet"]["spec"]["template"]["spec"]["containers"][0]["image"]


class FakeCluster:
    """An experiment's ConfigMap."""

    namespace = "shop"

    def __init__(self, experiment=FIRST):
        self.experiment = experiment

    def read_map(self):
        if self.experiment is None:
            raise NotFound("shop has no ConfigMap gauntlet-experiment")
        return dump_experiment(self.experiment).decode(), "1"

    def write_map(self, content, _version):
        self.experiment = parse_experiment(content.encode())
        return True

    def pods(self):
        return []


def old():
    return manifests(image=f"shop/gauntlet-scoring@{A}", challengers=(), limit="0")


def run(kubectl, cluster=None, *, checks=GOOD, **options):
    return deploy(kubectl, cluster or FakeCluster(), OVERLAY, tries=lambda _: checks, **options)


def test_an_overlay_is_applied_waited_for_and_tried():
    kubectl = FakeKubectl(manifests(), standing=old())
    deployed = run(kubectl)
    assert (deployed.carried.champion, deployed.carried.challengers, deployed.carried.digest) == (A, (B,), C)
    assert deployed.checks == GOOD
    assert kubectl.image.endswith(C)
    assert deployed.commands == (
        f"kubectl apply -k {OVERLAY}", "kubectl --namespace shop rollout status deployment/gauntlet --timeout=300s",
    )  # fmt: skip


def test_what_does_not_come_up_is_taken_back_and_why_is_told():
    kubectl = FakeKubectl(manifests(), standing=old(), broken=(f"shop/gauntlet-scoring@{C}",))
    with pytest.raises(Undone) as caught:
        run(kubectl)
    assert "deployment/gauntlet did not come up: error: timed out waiting (scoring ErrImagePull)" in caught.value.why
    assert sorted(caught.value.undone) == ["configmap/gauntlet-settings", "deployment/gauntlet"]
    assert (caught.value.checks, caught.value.left) == ((), ())
    assert kubectl.image.endswith(A)
    assert kubectl.objects["configmap/gauntlet-settings"]["data"] == {"limit": "0"}


def test_what_does_not_do_its_work_is_taken_back():
    kubectl = FakeKubectl(manifests(), standing=old())
    with pytest.raises(Undone, match=r"the smoke test failed: explain: POST /v1/explain was answered 503"):
        run(kubectl, checks=BAD)
    assert kubectl.image.endswith(A)


def test_a_first_rollout_that_fails_leaves_what_it_made_and_says_so():
    kubectl = FakeKubectl(manifests())
    with pytest.raises(Undone, match="there was nothing to undo") as caught:
        run(kubectl, checks=BAD)
    assert caught.value.left == ("configmap/gauntlet-settings", "deployment/gauntlet", "ingress/gauntlet")


def test_an_image_without_the_reigning_champion_is_refused_before_anything_changes():
    kubectl = FakeKubectl(manifests(champion=B, challengers=(C,)), standing=old())
    with pytest.raises(Refused, match="does not carry the reigning champion"):
        run(kubectl)
    assert kubectl.said == [f"kustomize {OVERLAY}"]


def test_an_image_without_the_challenger_on_trial_is_refused():
    trial = start_shadow(FIRST, C, now=NOW, salt="t", lead=NOW - NOW)
    with pytest.raises(Refused, match=r"is on trial \(mode shadow\), and the image does not carry it"):
        run(FakeKubectl(manifests(), standing=old()), FakeCluster(trial))


def test_without_an_experiment_nothing_is_changed():
    kubectl, cluster = FakeKubectl(manifests()), FakeCluster()
    cluster.experiment = None
    with pytest.raises(NotFound, match="gauntlet-experiment"):
        run(kubectl, cluster)
    assert kubectl.objects == {}


def test_a_place_that_follows_another_ones_promotions_takes_the_images_champion():
    cluster = FakeCluster()
    run(FakeKubectl(manifests(champion=B, challengers=(C,)), standing=old()), cluster, follows=True)
    assert (cluster.experiment.champion, cluster.experiment.challenger, cluster.experiment.revision) == (B, None, 5)


def test_when_it_is_undone_the_champion_of_before_is_named_again_by_a_later_revision():
    cluster = FakeCluster()
    with pytest.raises(Undone) as caught:
        run(FakeKubectl(manifests(champion=B), standing=old()), cluster, follows=True, checks=BAD)
    assert "configmap/gauntlet-experiment" in caught.value.undone
    assert (cluster.experiment.champion, cluster.experiment.revision) == (A, 6)


def test_an_overlay_knows_its_way_in():
    overlay = parse_overlay(yaml.safe_dump_all(manifests()))
    assert (overlay.host, overlay.is_https, overlay.has_prometheus) == ("gauntlet.example", True, False)


@pytest.mark.parametrize("rendered", [[], manifests()[:1], manifests(champion="")])
def test_what_is_no_overlay_is_refused(rendered):
    with pytest.raises(BadInput, match=r"no overlay of Gauntlet|does not say which models"):
        run(FakeKubectl(rendered))


def test_an_image_that_is_named_by_a_tag_has_no_digest():
    with pytest.raises(Refused, match="named by a tag"):
        _ = parse_overlay(yaml.safe_dump_all(manifests(image="shop/gauntlet-scoring:1"))).carried.digest
