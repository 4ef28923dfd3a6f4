"""`gauntlet deploy` as it is typed: what it prints, its exit codes, and what it refuses before anything changes.

kubectl and the API server are kept in memory; the Ingress, the service behind it and Prometheus answer over real HTTP.
"""

import json
from datetime import timedelta

import pytest
from click.testing import CliRunner
from deploying_toys import (
    COUNTED,
    FIRST,
    NOW,
    A,
    B,
    C,
    FakeCluster,
    FakeKubectl,
    load_rules,
    manifests,
    old,
    serve_customers,
)
from http_toys import toy_server

from bentos.errors import InvalidSetting, Refused
from gauntlet import cli
from service.scoring.experiment import start_shadow

OVERLAY = "k8s/overlays/staging"
PROMETHEUS = {"kind": "Service", "metadata": {"name": "gauntlet-prometheus"}}


@pytest.fixture
def toy():
    """A service that answers a customer's whole way."""
    with toy_server() as found:
        serve_customers(found)
        yield found


class Place:
    """A namespace in which an earlier image runs, the way into it, and the page of a CI job."""

    def __init__(self, toy, summary):
        self.kubectl = FakeKubectl(manifests(), standing=old(), forwards_to=toy.url)
        self.cluster = FakeCluster(said={"p1": COUNTED, "p2": COUNTED})
        self.toy, self.summary = toy, summary

    def deploy(self, *typed, overlay=OVERLAY, key="key", ingress=True):
        way_in = ["--ingress", self.toy.url] if ingress else []
        return CliRunner().invoke(cli, ["deploy", overlay, *way_in, *typed], env={"GAUNTLET_API_KEY": key})

    @property
    def is_untouched(self):
        return self.kubectl.image.endswith(A) and not any(line.startswith("apply") for line in self.kubectl.said)


@pytest.fixture
def place(toy, tmp_path, monkeypatch):
    found = Place(toy, tmp_path / "summary.md")
    monkeypatch.setattr("k8s.kubectl.Kubectl", lambda namespace: found.kubectl)
    monkeypatch.setattr("k8s.live.current_cluster", lambda namespace: found.cluster)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(found.summary))
    for name in ("GAUNTLET_API_KEY", "GAUNTLET_INGRESS", "GAUNTLET_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_an_overlay_that_does_its_work_stands_and_it_is_told_how_kubectl_does_the_same(place):
    done = place.deploy()
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        f"{OVERLAY} stands: deployment/gauntlet",
        f"  image shop/gauntlet-scoring@{C}",
        f"  champion {A}, challenger {B}",
        "  score       No at 0.125, answered by churn version 3 as champion",
        "  explain     a short tenure",
        "  outcome     1 taken",
        "  metrics     2 pods count",
        "  blessings   0 of 0 models are blessed",
        "  drift rules not asked for: the overlay has no Prometheus of its own; --prometheus URL names another",
    ]
    assert f"  kubectl apply -k {OVERLAY}" in done.stderr.splitlines()
    assert {one.headers["host"] for one in place.toy.asked} == {"gauntlet.example"}
    assert place.summary.read_text().startswith(f"## Deploy: {OVERLAY} stands\n")
    assert "| score | good | No at 0.125" in place.summary.read_text()


def test_json_holds_what_stands_and_how_each_part_came_out(place):
    done = place.deploy("--json")
    found = json.loads(done.stdout)
    assert (found["carried"]["champion"], found["workloads"]) == (A, ["deployment/gauntlet"])
    assert [check["is_good"] for check in found["checks"]] == [True] * 5


def test_what_does_not_do_its_work_is_undone_with_exit_code_1_and_named_on_the_jobs_page(place):
    place.toy.will("POST", "/v1/explain", {"title": "no insight"}, status=503)
    done = place.deploy()
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "gauntlet: the smoke test failed: explain: POST /v1/explain was answered 503" in done.stderr
    assert "undone: " in done.stderr
    assert place.kubectl.image.endswith(A)
    page = place.summary.read_text()
    assert page.startswith(f"## Deploy: {OVERLAY} failed\n")
    assert "| explain | **bad** | POST /v1/explain was answered 503" in page


def test_what_does_not_come_up_is_undone_and_was_not_tried(place):
    place.kubectl.broken = (f"shop/gauntlet-scoring@{C}",)
    done = place.deploy("--timeout", "10")
    assert done.exit_code == 1
    assert "deployment/gauntlet did not come up" in done.stderr
    assert place.toy.asked == []
    assert "It did not come so far as to be tried." in place.summary.read_text()


def test_the_image_that_is_rolled_out_must_carry_who_is_on_trial(place):
    place.cluster.experiment = start_shadow(FIRST, C, now=NOW, salt="t", lead=timedelta(0))
    done = place.deploy()
    assert isinstance(done.exception, Refused)
    assert "is on trial (mode shadow), and the image does not carry it" in str(done.exception)
    assert place.is_untouched


def test_without_an_api_key_nothing_is_asked(place):
    done = place.deploy(key="")
    assert isinstance(done.exception, InvalidSetting)
    assert "GAUNTLET_API_KEY" in str(done.exception)
    assert place.kubectl.said == []


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        (("--ingress", "gauntlet.example"), "--ingress is 'gauntlet.example'"),
        (("--prometheus", "http://prometheus:web"), "--prometheus is 'http://prometheus:web'"),
        (("--host", "gäuntlet"), "--host must be printable ASCII"),
        (("--ca", "pyproject.toml"), "--ca pyproject.toml is no file of certificates"),
    ],
)
def test_a_wrong_way_in_is_told_before_anything_is_changed(place, typed, named):
    done = place.deploy(*typed)
    assert isinstance(done.exception, InvalidSetting)
    assert named in str(done.exception)
    assert place.is_untouched


def test_an_ingress_without_a_name_needs_one(place):
    place.kubectl.rendered[2]["spec"]["rules"] = [{}]
    done = place.deploy()
    assert isinstance(done.exception, InvalidSetting)
    assert "names no host; --host gives one" in str(done.exception)
    assert place.is_untouched
    assert place.deploy("--host", "shop.example").exit_code == 0
    assert place.toy.asked[-1].headers["host"] == "shop.example"


@pytest.mark.parametrize(("tls", "scheme"), [([{}], "https"), ([], "http")])
def test_without_an_address_the_overlays_host_is_asked_as_its_ingress_answers(place, tls, scheme):
    ingress = place.kubectl.rendered[2]["spec"]
    ingress["tls"], ingress["rules"] = tls, [{"host": "gauntlet.invalid"}]
    done = place.deploy(ingress=False)
    assert done.exit_code == 1
    assert f"GET {scheme}://gauntlet.invalid/docs/openapi.json for gauntlet.invalid: " in done.stderr


def test_only_what_was_approved_is_rolled_out_where_approval_is_asked_for(place):
    done = place.deploy("--approved")
    assert isinstance(done.exception, Refused)
    assert f"nobody approved the rollout of {C}" in str(done.exception)
    assert place.is_untouched
    assert CliRunner().invoke(cli, ["rollout", "approve", OVERLAY], env={"GAUNTLET_WHO": "ann"}).exit_code == 0
    done = place.deploy("--approved")
    assert done.exit_code == 0
    assert "approved: ann, 2" in done.stderr


def test_a_place_that_follows_another_one_takes_the_images_champion(place):
    place.kubectl.rendered = manifests(champion=B, challengers=(A,))
    assert place.deploy().exit_code == 0  # the reigning champion is among the image's challengers
    assert place.cluster.experiment.champion == A
    assert place.deploy("--follow-champion").exit_code == 0
    assert place.cluster.experiment.champion == B


@pytest.mark.parametrize(("groups", "code"), [(("gauntlet-drift",), 0), (("gauntlet-service",), 1)])
def test_a_prometheus_that_is_named_must_have_loaded_drifts_rules(place, groups, code):
    load_rules(place.toy, *groups)
    place.kubectl.rendered.append(PROMETHEUS)  # the overlay's own is not asked then
    done = place.deploy("--prometheus", place.toy.url)
    assert done.exit_code == code
    assert "drift rules" in (done.stderr if code else done.stdout)
    assert not any(line.startswith("port-forward") for line in place.kubectl.said)


def test_the_overlays_own_prometheus_is_asked_through_kubectl(place):
    load_rules(place.toy, "gauntlet-drift")
    place.kubectl.rendered.append(PROMETHEUS)
    done = place.deploy()
    assert done.exit_code == 0
    assert "  drift rules gauntlet-drift loaded" in done.stdout.splitlines()
    assert "port-forward service/gauntlet-prometheus 9090" in place.kubectl.said


@pytest.mark.parametrize("seconds", ["9", "3601", "soon"])
def test_how_long_it_may_take_has_bounds_that_are_told(place, seconds):
    done = place.deploy("--timeout", seconds)
    assert done.exit_code == 2
    assert "--timeout" in done.stderr
    assert "is not" in done.stderr
    assert place.kubectl.said == []
