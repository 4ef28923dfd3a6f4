"""Components taken by the running installation, and left again: other ways in, HTTPS, a Prometheus of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from cluster_tools import ROOT, CommandFailed, Step, ask, run, wait_for
from doors import doors_open_to
from installing import HOST, REPLICAS, Installation, ask_store, features_of

from service import metric_names

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

GATEWAY = ("Gateway", "gauntlet", "/spec/gatewayClassName", "traefik")


@pytest.fixture(scope="module")
def authority(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The certificate of an authority of one's own, by which the Secret was made as the component says."""
    place = tmp_path_factory.mktemp("authority")
    for command in commands_in(ROOT / "k8s" / "components" / "tls" / "kustomization.yaml", "openssl"):
        run("bash", "-c", f"cd {place} && {command}")
    files = (f"--cert={place / 'chain.pem'}", f"--key={place / 'key.pem'}")
    installation.kube("create", "secret", "tls", "gauntlet-tls", *files)
    yield place / "ca.pem"
    installation.kube("delete", "secret", "gauntlet-tls")


def commands_in(kustomization: Path, program: str) -> list[str]:
    """The commands of a program that a comment tells people to type."""
    lines = [
        line.removeprefix("#").strip() for line in kustomization.read_text().splitlines() if line.startswith("#  ")
    ]
    return [line for line in "\n".join(lines).replace("\\\n", " ").splitlines() if line.startswith(f"{program} ")]


def curl(*arguments: str | Path, path: str, scheme: str = "https") -> tuple[int, str, str]:
    """Status, headers and body of what curl got, by the name that the certificate is for.

    Raises:
        CommandFailed: There was no answer, or nobody whom curl trusts vouches for whoever gave it.
    """
    said = run(
        "curl", "--silent", "--show-error", "--include", "--noproxy", "*", *arguments, f"{scheme}://{HOST}{path}"
    )
    head, _, body = said.partition("\n\n")  # read as text, in which a line ends with a line feed
    return int(head.split()[1]), head.lower(), body


def scoring(installation: Installation, *, key: bool = True) -> list[str]:
    """What curl is told to score a customer."""
    body = json.dumps({"customer_id": "curl", "features": features_of(installation.contract)})
    bearer = ["--header", f"authorization: Bearer {installation.key}"] if key else []
    return ["--header", "content-type: application/json", "--data", body, *bearer]


def check_who_is_let_in(installation: Installation, *trust: str | Path, scheme: str) -> None:
    """Clients with a key, to public routes; the controller may take a moment to see the route."""

    def scored() -> str | None:
        status, _, body = curl(*trust, *scoring(installation), path="/v1/score", scheme=scheme)
        return body if status == 200 else None

    body = wait_for(scored, "nobody was scored", seconds=60)
    assert json.loads(body)["model"]["digest"] == installation.roles.champion.digest
    status, head, body = curl(*trust, *scoring(installation, key=False), path="/v1/score", scheme=scheme)
    assert (status, json.loads(body)["title"]) == (401, "An API key is needed")
    assert "content-type: application/problem+json" in head
    assert [curl(*trust, path=path, scheme=scheme)[0] for path in ("/", "/metrics", "/readyz")] == [404, 404, 404]


def test_a_gateway_lets_in_whom_the_ingress_did(installation: Installation, tmp_path: Path) -> None:
    with installation.taking(tmp_path, "gateway-api", patches=[GATEWAY]):
        assert not installation.kube.read("ingress")["items"]
        check_who_is_let_in(installation, scheme="http")


def test_a_gateway_with_tls_answers_by_https_and_sends_others_there(
    installation: Installation, authority: Path, tmp_path: Path
) -> None:
    with installation.taking(tmp_path, "gateway-api", "gateway-api/tls", patches=[GATEWAY]):
        trust = ("--cacert", authority)
        wait_for(lambda: answers_by_https(authority), "nobody answered by HTTPS", seconds=60)
        check_who_is_let_in(installation, *trust, scheme="https")
        assert "strict-transport-security: max-age=" in curl(*trust, path="/docs")[1]
        status, head, _ = curl(*scoring(installation), path="/v1/score", scheme="http")
        assert (status, f"location: https://{HOST}/v1/score" in head) == (301, True)


def test_an_ingress_with_tls_answers_by_https_alone(
    installation: Installation, authority: Path, tmp_path: Path
) -> None:
    with installation.taking(tmp_path, "tls"):
        wait_for(lambda: answers_by_https(authority), "nobody answered by HTTPS", seconds=60)
        check_who_is_let_in(installation, "--cacert", authority, scheme="https")
        assert curl(*scoring(installation), path="/v1/score", scheme="http")[0] == 404
        with pytest.raises(CommandFailed, match="certificate"):
            curl(path="/docs")


def answers_by_https(authority: Path) -> bool:
    """Whether the controller has the certificate, which it may see later than the route."""
    try:
        return curl("--cacert", authority, path="/docs")[0] == 200
    except CommandFailed:
        return False


@pytest.fixture(scope="module")
def prometheus(installation: Installation, step: Step, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the installation's own Prometheus."""
    kube, (address, _) = installation.kube, api_server(installation)
    where = ("NetworkPolicy", "prometheus-to-api-server", "/spec/egress/0/to/0/ipBlock/cidr", f"{address}/32")
    taken = ("prometheus", "prometheus/alertmanager")
    with installation.taking(tmp_path_factory.mktemp("prometheus"), *taken, patches=[where]):
        with step("Prometheus and Alertmanager ready"):
            for name in ("gauntlet-prometheus", "gauntlet-alertmanager"):
                kube("rollout", "status", f"deployment/{name}", "--timeout=120s")
        with kube.forward("service/gauntlet-prometheus", 9090) as url:
            yield url


def api_server(installation: Installation) -> tuple[str, int]:
    """Its own address and port, to which those of its Service are translated."""
    found = installation.kube.read("endpointslice", "kubernetes", "--namespace=default")
    return found["endpoints"][0]["addresses"][0], found["ports"][0]["port"]


def query(url: str, expression: str) -> list[dict[str, Any]]:
    """What Prometheus answers: each series' labels, and its value under `value`."""
    found = ask(f"{url}/api/v1/query?query={quote(expression)}").json()["data"]["result"]
    return [{**one["metric"], "value": float(one["value"][1])} for one in found]


def test_prometheus_finds_every_pod_and_its_metrics_say_whose_they_are(
    installation: Installation, prometheus: str, step: Step
) -> None:
    pods = {component: set(installation.kube.pods(component)) for component in ("scoring", "judge", "insight")}
    wanted = {(pod, container) for pod in pods["scoring"] for container in ("scoring", "shipper")}
    wanted |= {(pod, component) for component in ("judge", "insight") for pod in pods[component]}
    with step("every target up"):
        wait_for(
            lambda: {(one["pod"], one["container"]) for one in query(prometheus, 'up{job="gauntlet"} == 1')} >= wanted,
            f"not all of {wanted} are up: {query(prometheus, 'up')}",
            seconds=120,
        )
    ready = query(prometheus, "gauntlet_ready")
    assert {one["pod"] for one in ready if one["value"] == 1} >= pods["scoring"]
    assert {(one["app_kubernetes_io_component"], one["container"]) for one in ready} == {("scoring", "scoring")}
    for metric, component in (
        ("gauntlet_shipper_spool_bytes", "scoring"),
        ("gauntlet_judge_looks_failed_total", "judge"),
        (metric_names.Insight.WORKERS, "insight"),
    ):
        assert {one["app_kubernetes_io_component"] for one in query(prometheus, metric)} == {component}


def test_an_alert_comes_from_prometheus_to_alertmanager(
    installation: Installation, prometheus: str, step: Step
) -> None:
    firing = {"alert": "SomethingIs", "expr": "vector(1)", "labels": {"severity": "info"}}
    rules = json.dumps({"groups": [{"name": "tried", "rules": [firing]}]})
    patch = json.dumps({"data": {"tried.yaml": rules}})
    installation.kube("patch", "configmap", "gauntlet-rules", "--type=merge", "--patch", patch)
    try:
        with step("alert told"), installation.kube.forward("service/gauntlet-alertmanager", 9093) as alerts:
            wait_for(lambda: "SomethingIs" in ask(f"{alerts}/api/v2/alerts").text, "it was never told", seconds=240)
    finally:
        patch = json.dumps({"data": {"tried.yaml": None}})
        installation.kube("patch", "configmap", "gauntlet-rules", "--type=merge", "--patch", patch)


def test_prometheus_reaches_metrics_alertmanager_and_the_api_server_and_nothing_else(
    installation: Installation, prometheus: str
) -> None:
    kube = installation.kube
    scoring_pod, judge_pod, insight_pod = (
        sorted(kube.pods(name).values())[0] for name in ("scoring", "judge", "insight")
    )
    doors = {
        "scoring": (scoring_pod, 3000),
        "admin": (scoring_pod, 3001),
        "shipper": (scoring_pod, 3003),
        "judge": (judge_pod, 3002),
        "insight": (insight_pod, 3004),
        "alertmanager": ("gauntlet-alertmanager", 9093),
        "console": ("gauntlet-console", 3005),
        "mlflow": ("gauntlet-mlflow", 5000),
        "postgres": ("gauntlet-postgres", 5432),
        "itself": ("gauntlet-prometheus", 9090),
        "the API server": api_server(installation),
    }
    reached = {"admin", "shipper", "judge", "insight", "alertmanager", "the API server"}
    assert doors_open_to(kube, "prometheus", doors) == reached
    assert doors_open_to(kube, "alertmanager", doors) == set()


def test_prometheus_has_its_rules_and_takes_up_those_that_come_later(
    installation: Installation, prometheus: str, step: Step
) -> None:
    groups = ask(f"{prometheus}/api/v1/rules").json()["data"]["groups"]
    assert {Path(group["file"]).stem for group in groups} >= {"drift", "service", "experiment", "models"}

    def later(rules: Any) -> None:
        content = None if rules is None else json.dumps(rules)
        patch = json.dumps({"data": {"later.yaml": content}})
        installation.kube("patch", "configmap", "gauntlet-rules", "--type=merge", "--patch", patch)

    later({"groups": [{"name": "later", "rules": [{"record": "later:ready", "expr": "sum(gauntlet_ready)"}]}]})
    try:
        with step("rules taken up"):
            wait_for(lambda: query(prometheus, "later:ready"), "the rules were never taken up", seconds=180)
    finally:
        later(None)
    assert query(prometheus, "later:ready")[0]["value"] >= REPLICAS


def test_prometheus_uses_the_rights_that_it_has_and_no_others(installation: Installation, prometheus: str) -> None:
    """Of an API server that streams what is there, and of an older one, for which a client lists before it watches."""
    kube = installation.kube
    older = ("deployment/gauntlet-prometheus", "KUBE_FEATURE_WatchListClient=false")
    kube("set", "env", *older)
    kube("rollout", "status", older[0], "--timeout=180s")
    role = kube.read("role", "gauntlet-prometheus")["rules"]
    granted = {(verb, name) for rule in role for verb in rule["verbs"] for name in rule["resources"]}
    wait_for(lambda: calls(installation) >= granted, f"only {calls(installation)} were called", seconds=60)
    assert calls(installation) == granted


def calls(installation: Installation) -> set[tuple[str, str]]:
    """What the API server noted that Prometheus asked of it: verb and resource."""
    kube = installation.kube
    account = f"system:serviceaccount:{kube.namespace}:gauntlet-prometheus"
    log = Path(kube.environment["KUBECONFIG"]).parent / "log" / "audit.log"
    with log.open() as lines:
        events = [json.loads(line) for line in lines if account in line]
    asked = [event["objectRef"] | {"verb": event["verb"]} for event in events if event["user"]["username"] == account]
    assert {one["namespace"] for one in asked} <= {kube.namespace}
    return {(one["verb"], one["resource"]) for one in asked}


def test_mlflow_keeps_runs_and_models_in_postgresql(installation: Installation, tmp_path: Path, step: Step) -> None:
    kube = installation.kube
    with step("MLflow on PostgreSQL: train, gate, dump"), installation.taking(tmp_path, "mlflow/postgres"):
        kube("rollout", "status", "deployment/gauntlet-mlflow", "--timeout=240s")
        assert kube.run_job("train-elsewhere", "train", ESTIMATOR="logistic_regression")
        assert kube.run_job("gate-elsewhere", "gate")
        assert ask_store(kube, "select name, version from model_versions", database="mlflow") == ["churn|1"]
        assert kube.run_job("dump-both", "gauntlet-postgres-dump", seconds=180)
        assert {"gauntlet", "mlflow"} <= set(re.findall(r"(\w+)-\w+\.dump", kube("logs", "job/dump-both")))
    kube("rollout", "status", "deployment/gauntlet-mlflow", "--timeout=240s")
