"""An overlay rolled out and taken back, with a kubectl that keeps objects in memory; the real one: tests/cluster."""

from pathlib import Path

import pytest
import yaml
from deploying_toys import FIRST, NOW, A, B, C, FakeCluster, FakeKubectl, manifests, old

from bentos.errors import BadInput, NotFound, Refused
from k8s.deploying import Undone, deploy
from k8s.overlay import parse_overlay
from k8s.smoke import Checked
from service.scoring.experiment import start_shadow

OVERLAY = Path("k8s/overlays/staging")
GOOD = (Checked("score", True, "No at 0.1"),)
BAD = (*GOOD, Checked("explain", False, "POST /v1/explain was answered 503"))


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


def test_what_cannot_be_taken_back_is_named_with_why_and_the_rest_is_taken_back():
    kubectl = FakeKubectl(manifests(), standing=old())
    roll = kubectl.on_rollout

    def refuse(words, given):
        if words[0] == "undo":
            raise Refused("kubectl rollout undo failed with exit code 1:\nerror: no rollout history found")
        roll(words, given)

    kubectl.on_rollout = refuse
    with pytest.raises(Undone, match="left: deployment/gauntlet, as error: no rollout history found") as caught:
        run(kubectl, checks=BAD)
    assert caught.value.undone == ("configmap/gauntlet-settings",)


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
