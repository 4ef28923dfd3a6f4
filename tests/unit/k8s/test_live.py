"""What is asked of an API server and what its answers mean: the real client over real HTTP, against a toy that answers.

A real API server answers in tests/cluster.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from http_toys import Toy, toy_server
from kubernetes import client

import k8s.live as live
from bentos.errors import NotFound, Unavailable
from k8s.live import LiveCluster, current_cluster

MAP = "/api/v1/namespaces/shop/configmaps/gauntlet-experiment"
PODS = "/api/v1/namespaces/shop/pods"
JOBS = "/apis/batch/v1/namespaces/shop/jobs"
EVENTS = "/api/v1/namespaces/shop/events"


@pytest.fixture
def toy() -> Iterator[Toy]:
    with toy_server() as found:
        yield found


@pytest.fixture
def cluster(toy: Toy) -> Iterator[LiveCluster]:
    with client.ApiClient(client.Configuration(host=toy.url)) as asking:
        yield LiveCluster("shop", client.CoreV1Api(asking), client.BatchV1Api(asking))


def pod(name: str, *, ready: str = "True", **metadata: str) -> dict[str, Any]:
    status = {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": ready}]}
    return {"metadata": {"name": name, **metadata}, "status": status}


def test_the_experiment_is_read_with_its_version(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("GET", MAP, {"metadata": {"resourceVersion": "7"}, "data": {"experiment.yaml": "revision: 4"}})
    assert cluster.read_map() == ("revision: 4", "7")


@pytest.mark.parametrize("data", [{}, {"data": {"other": ""}}])
def test_a_map_without_an_experiment_is_told(toy: Toy, cluster: LiveCluster, data: dict[str, Any]) -> None:
    toy.will("GET", MAP, {"metadata": {"resourceVersion": "7"}, **data})
    with pytest.raises(NotFound, match=r"in shop has no experiment\.yaml"):
        cluster.read_map()


def test_the_first_experiment_carries_the_installations_label(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("POST", MAP.rpartition("/")[0], {}, status=201)
    cluster.create_map("revision: 1")
    (made,) = toy.bodies("POST", MAP.rpartition("/")[0])
    assert made["metadata"] == {"name": "gauntlet-experiment", "labels": {"app.kubernetes.io/name": "gauntlet"}}
    assert made["data"] == {"experiment.yaml": "revision: 1"}


def test_an_experiment_is_written_over_the_version_that_was_read(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("PATCH", MAP, {"metadata": {"resourceVersion": "8"}})
    assert cluster.write_map("revision: 5", "7")
    (patch,) = toy.bodies("PATCH", MAP)
    assert patch == {"metadata": {"resourceVersion": "7"}, "data": {"experiment.yaml": "revision: 5"}}


def test_a_version_that_is_another_by_now_is_not_written_over(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("PATCH", MAP, {"message": "the object has been modified"}, status=409)
    assert not cluster.write_map("revision: 5", "7")


def test_an_experiment_that_was_deleted_meanwhile_is_told(cluster: LiveCluster) -> None:
    with pytest.raises(NotFound, match="was deleted meanwhile"):
        cluster.write_map("revision: 5", "7")


def test_pods_are_scorings_ready_ones_that_stay(toy: Toy, cluster: LiveCluster) -> None:
    leaving = pod("c", deletionTimestamp="2026-03-01T12:00:00Z")
    starting = {"metadata": {"name": "d"}, "status": {}}
    toy.will("GET", PODS, {"items": [pod("b"), pod("a"), pod("e", ready="False"), leaving, starting]})
    assert cluster.pods() == ["a", "b"]
    assert toy.asked[-1].query == {"labelSelector": live.SCORING}


def test_a_pods_file_is_hurried_by_an_annotation(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("PATCH", f"{PODS}/a", {})
    cluster.annotate("a", "5")
    assert toy.bodies("PATCH", f"{PODS}/a") == [{"metadata": {"annotations": {live.ANNOTATION: "5"}}}]
    cluster.annotate("gone", "5")  # needs no file any more


def test_from_outside_metrics_come_through_the_api_server(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("GET", f"{PODS}/a:3001/proxy/metrics", "gauntlet_experiment_revision 5\n")
    toy.will("GET", f"{PODS}/b:3001/proxy/metrics", {"message": "no endpoints"}, status=503)
    assert cluster.metrics("a") == "gauntlet_experiment_revision 5\n"
    assert cluster.metrics("b") == ""
    assert cluster.metrics("gone") == ""


def test_a_pod_asks_other_pods_themselves(toy: Toy, cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ADMIN_PORT", int(toy.url.rpartition(":")[2]))
    cluster.is_inside = True
    toy.will("GET", PODS, {"items": [pod("a")]})
    toy.will("GET", "/metrics", "gauntlet_experiment_revision 5\n")
    cluster.pods()
    assert cluster.metrics("a") == "gauntlet_experiment_revision 5\n"
    assert cluster.metrics("unknown") == ""


def test_a_cron_job_comes_as_json(toy: Toy, cluster: LiveCluster) -> None:
    place = "/apis/batch/v1/namespaces/shop/cronjobs"
    containers = [{"name": "gate", "args": ["gate", "$(CANDIDATE)"]}]
    job = {"spec": {"template": {"spec": {"containers": containers, "restartPolicy": "Never"}}}}
    gate = {"metadata": {"name": "gate", "uid": "u"}, "spec": {"schedule": "0 0 * * *", "jobTemplate": job}}
    toy.will("GET", f"{place}/gate", gate)
    assert cluster.cron_job("gate") == gate
    with pytest.raises(NotFound, match="shop has no CronJob train; apply an overlay first"):
        cluster.cron_job("train")


def test_a_job_is_made(toy: Toy, cluster: LiveCluster) -> None:
    job = {"metadata": {"name": "gate-1"}}
    toy.will("POST", JOBS, job, status=201)
    cluster.create_job(job)
    assert toy.bodies("POST", JOBS) == [job]


def test_a_job_that_is_there_already_was_not_made(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("POST", JOBS, {"message": "exists"}, status=409)
    with pytest.raises(Unavailable, match="Job gate-1 cannot be made: the API server answered 409"):
        cluster.create_job({"metadata": {"name": "gate-1"}})


def test_how_a_job_stands(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("GET", f"{JOBS}/gate-1", {"metadata": {}, "status": {"succeeded": 1}})
    toy.will("GET", f"{JOBS}/gate-2", {"metadata": {}})
    assert cluster.job_status("gate-1") == {"succeeded": 1}
    assert cluster.job_status("gate-2") == {}
    with pytest.raises(NotFound, match="Job gate-3 was deleted meanwhile"):
        cluster.job_status("gate-3")


def test_a_jobs_pods_come_newest_last(toy: Toy, cluster: LiveCluster) -> None:
    made = [pod(f"p{day}", creationTimestamp=f"2026-03-0{day}T12:00:00Z") for day in (2, 1, 3)]
    toy.will("GET", PODS, {"items": made})
    assert [one["metadata"]["name"] for one in cluster.pods_of_job("gate-1")] == ["p1", "p2", "p3"]
    assert toy.asked[-1].query == {"labelSelector": "job-name=gate-1"}


def test_a_log_is_what_the_pod_said(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("GET", f"{PODS}/p1/log", "PASS: größer\n")
    assert cluster.log_of("p1") == "PASS: größer\n"
    assert cluster.log_of("gone") == ""


@pytest.mark.parametrize(("is_warning", "reason", "kind"), [(True, "Failed", "Warning"), (False, "Passed", "Normal")])
def test_an_event_is_about_the_job(toy: Toy, cluster: LiveCluster, is_warning: bool, reason: str, kind: str) -> None:
    toy.will("GET", f"{JOBS}/gate-1", {"metadata": {"uid": "u-1"}})
    toy.will("POST", EVENTS, {"metadata": {}, "involvedObject": {}}, status=201)
    cluster.record_event("gate-1", "accuracy", is_warning=is_warning)
    (event,) = toy.bodies("POST", EVENTS)
    assert event["involvedObject"]["uid"] == "u-1"
    assert (event["reason"], event["type"], event["message"]) == (reason, kind, "accuracy")


def test_of_a_job_that_is_gone_there_is_no_event(toy: Toy, cluster: LiveCluster) -> None:
    cluster.record_event("gate-1", "accuracy", is_warning=True)
    assert toy.bodies("POST", EVENTS) == []


def test_an_event_that_could_not_be_made_is_told(toy: Toy, cluster: LiveCluster) -> None:
    toy.will("GET", f"{JOBS}/gate-1", {"metadata": {"uid": "u-1"}})
    with pytest.raises(Unavailable, match="answered 404"):
        cluster.record_event("gate-1", "accuracy", is_warning=True)


def test_inside_a_pod_that_names_no_api_server_there_is_no_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").touch()
    monkeypatch.setattr(live, "_TOKEN", tmp_path / "token")
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Unavailable, match="no cluster: Service host/port is not set"):
        current_cluster("shop")
