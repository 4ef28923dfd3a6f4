"""Who scrapes finds what answers /metrics: a Prometheus of our own, the operator's, one that goes by annotations."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from renderings import K8S, KUBECTL, LOCAL, containers_in, matching, of_kind, one, template_of

RENDERING = f"{LOCAL} with prometheus"
CONFIG = K8S / "components" / "prometheus" / "scraping.yaml"
PROMTOOL = shutil.which("promtool")
WORKLOADS = {"scoring": "gauntlet", "judge": "gauntlet-judge", "insight": "gauntlet-insight"}

needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool, which checks Prometheus's configuration, is not on PATH")
def test_promtool_takes_the_configuration() -> None:
    done = subprocess.run([str(PROMTOOL), "check", "config", str(CONFIG)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def scraped() -> dict[str, set[str]]:
    """The names of the ports that are scraped, by component."""
    (job,) = yaml.safe_load(CONFIG.read_text())["scrape_configs"]
    (keep,) = (one for one in job["relabel_configs"] if one.get("action") == "keep")
    found: dict[str, set[str]] = {}
    for pair in keep["regex"].split("|"):
        component, port = pair.split(";")
        found.setdefault(component, set()).add(port)
    return found


def numbers_of(component: str, names: set[str]) -> set[int]:
    template = template_of(RENDERING, "Deployment", WORKLOADS[component])
    ports = [port for container in containers_in(template) for port in container.get("ports", [])]
    return {port["containerPort"] for port in ports if port["name"] in names}


@needs_kubectl
@pytest.mark.parametrize("component", sorted(scraped()))
def test_each_port_that_is_scraped_is_there_and_open_to_prometheus_alone(component: str) -> None:
    names = scraped()[component]
    assert len(numbers_of(component, names)) == len(names)
    assert ports_to(component) == numbers_of(component, names)
    (rule,) = one(RENDERING, "NetworkPolicy", f"{component}-is-scraped")["spec"]["ingress"]
    assert {port["port"] for port in rule["ports"]} == names
    (who,) = rule["from"]
    assert who["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "prometheus"


def ports_to(component: str) -> set[int]:
    """The ports of a component that Prometheus may go to."""
    rules = one(RENDERING, "NetworkPolicy", "prometheus")["spec"]["egress"]
    return {
        port["port"]
        for rule in rules
        for to in rule["to"]
        for port in rule["ports"]
        if to["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == component
    }


@needs_kubectl
def test_prometheus_goes_to_what_it_scrapes_and_to_the_api_server_and_nobody_comes_to_it() -> None:
    policies = [policy["spec"] for policy in of_kind(RENDERING, "NetworkPolicy") if is_about_prometheus(policy)]
    assert all(policy["policyTypes"] == ["Egress"] for policy in policies)
    places = [to for policy in policies for rule in policy["egress"] for to in rule["to"]]
    assert [set(to) for to in places].count({"ipBlock"}) == 1
    reached = {labels["app.kubernetes.io/component"] for to in places for labels in labels_in(to)}
    assert reached == set(scraped()) == set(WORKLOADS)


def is_about_prometheus(policy: dict[str, Any]) -> bool:
    labels: dict[str, str] = policy["spec"]["podSelector"].get("matchLabels", {})
    return labels.get("app.kubernetes.io/component") == "prometheus"


def labels_in(to: dict[str, Any]) -> list[dict[str, str]]:
    return [to["podSelector"]["matchLabels"]] if "podSelector" in to else []


@needs_kubectl
def test_prometheus_keeps_less_than_its_volume_holds() -> None:
    retention = yaml.safe_load(CONFIG.read_text())["storage"]["tsdb"]["retention"]
    claim = one(RENDERING, "PersistentVolumeClaim", "gauntlet-prometheus")["spec"]
    kept = int(retention["size"].removesuffix("GB"))  # of 2^30 bytes, as Gi are
    held = int(claim["resources"]["requests"]["storage"].removesuffix("Gi"))
    assert kept <= 0.85 * held  # beyond it come what is being compacted and the log of what is in memory


@needs_kubectl
def test_prometheus_reads_what_its_volumes_hold() -> None:
    template = template_of(RENDERING, "Deployment", "gauntlet-prometheus")
    (container,) = template["spec"]["containers"]
    places = {mount["name"]: Path(mount["mountPath"]) for mount in container["volumeMounts"]}
    assert f"--config.file={places['config'] / CONFIG.name}" in container["args"]
    assert f"--storage.tsdb.path={places['data']}" in container["args"]
    assert "--enable-feature=exemplar-storage" in container["args"]
    assert yaml.safe_load(CONFIG.read_text())["rule_files"] == [f"{places['rules']}/*.yaml"]
    rules = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "rules")
    assert rules["configMap"] == {"name": "gauntlet-rules", "optional": True}


TOLD = f"{LOCAL} with prometheus/alertmanager"


@needs_kubectl
def test_prometheus_tells_alertmanager_which_it_alone_may_reach() -> None:
    (alerting,) = yaml.safe_load(CONFIG.read_text())["alerting"]["alertmanagers"]
    template = template_of(TOLD, "Deployment", "gauntlet-prometheus")
    mounts = {m["name"]: m["mountPath"] for m in template["spec"]["containers"][0]["volumeMounts"]}
    assert alerting == {"file_sd_configs": [{"files": [f"{mounts['alertmanagers']}/*.yaml"]}]}
    volume = next(volume for volume in template["spec"]["volumes"] if volume["name"] == "alertmanagers")
    assert volume["configMap"] == {"name": "gauntlet-alertmanagers", "optional": True}
    ((name, content),) = one(TOLD, "ConfigMap", "gauntlet-alertmanagers")["data"].items()
    assert name.endswith(".yaml")
    host, _, port = yaml.safe_load(content)[0]["targets"][0].partition(":")
    service = one(TOLD, "Service", host)["spec"]
    assert matching(TOLD, service["selector"]) == [f"Deployment/{host}"]
    assert service["ports"] == [{"name": "http", "port": int(port), "targetPort": "http"}]
    policy = one(TOLD, "NetworkPolicy", "alertmanager")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    ((peer,),) = (rule["from"] for rule in policy["ingress"])
    assert peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "prometheus"
    ((to, ports),) = (
        (r["to"], r["ports"]) for r in one(TOLD, "NetworkPolicy", "prometheus-to-alertmanager")["spec"]["egress"]
    )
    assert to[0]["podSelector"]["matchLabels"].items() <= service["selector"].items()
    assert [one["port"] for one in ports] == [int(port)]


@needs_kubectl
def test_alertmanager_reads_the_committed_routes_and_is_made_anew_when_they_change() -> None:
    template = template_of(TOLD, "Deployment", "gauntlet-alertmanager")
    (container,) = template["spec"]["containers"]
    (mount,) = (one["mountPath"] for one in container["volumeMounts"] if one["name"] == "config")
    (volume,) = (one["configMap"]["name"] for one in template["spec"]["volumes"] if one["name"] == "config")
    assert volume.startswith("gauntlet-alertmanager-")  # with a hash of what it holds
    ((name, routes),) = one(TOLD, "ConfigMap", volume)["data"].items()
    assert f"--config.file={mount}/{name}" in container["args"]
    assert routes == (K8S.parent / "grafana" / "alertmanager.yaml").read_text()


@needs_kubectl
def test_the_operators_prometheus_finds_the_same_ports_under_the_same_labels() -> None:
    found = {}
    for monitor in of_kind(f"{LOCAL} with monitoring", "PodMonitor"):
        spec = monitor["spec"]
        assert spec["jobLabel"] == "app.kubernetes.io/name"
        assert spec["podTargetLabels"] == ["app.kubernetes.io/component"]
        labels = spec["selector"]["matchLabels"]
        component = labels["app.kubernetes.io/component"]
        assert matching(f"{LOCAL} with monitoring", labels) == [f"Deployment/{WORKLOADS[component]}"]
        found[component] = {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]}
    assert found == scraped()


@needs_kubectl
@pytest.mark.parametrize(("component", "port"), [("scoring", "admin"), ("judge", "http"), ("insight", "http")])
def test_annotations_name_a_port_that_answers_metrics(component: str, port: str) -> None:
    template = template_of(f"{LOCAL} with monitoring/annotations", "Deployment", WORKLOADS[component])
    annotations = template["metadata"]["annotations"]
    assert {int(annotations["prometheus.io/port"])} == numbers_of(component, {port})
    assert (annotations["prometheus.io/scrape"], annotations["prometheus.io/path"]) == ("true", "/metrics")


RULES = {path.stem: path for path in (K8S.parent / "grafana" / "rules").glob("*.yaml")}
DASHBOARDS = {path.name: path.read_text() for path in (K8S.parent / "grafana" / "dashboards").glob("*.json")}
APPLIED_BYTES = 262_144
"""What an annotation may hold: `kubectl apply` keeps the whole object in one."""


@needs_kubectl
def test_the_operator_gets_every_rule() -> None:
    found = {rule["metadata"]["name"]: rule["spec"] for rule in of_kind(f"{LOCAL} with monitoring", "PrometheusRule")}
    assert found == {f"gauntlet-{name}": yaml.safe_load(path.read_text()) for name, path in RULES.items()}


@needs_kubectl
def test_a_prometheus_of_our_own_reads_every_rule() -> None:
    found = one(RENDERING, "ConfigMap", "gauntlet-rules")["data"]
    assert found == {f"{name}.yaml": path.read_text() for name, path in RULES.items()}


@needs_kubectl
def test_grafanas_sidecar_finds_every_dashboard() -> None:
    maps = [
        m for m in of_kind(f"{LOCAL} with monitoring/dashboards", "ConfigMap") if "dashboard" in m["metadata"]["name"]
    ]
    assert {name: text for one in maps for name, text in one["data"].items()} == DASHBOARDS
    assert {one["metadata"]["labels"]["grafana_dashboard"] for one in maps} == {"1"}


@needs_kubectl
@pytest.mark.parametrize("component", ["monitoring", "monitoring/dashboards", "prometheus"])
def test_whatever_is_applied_fits_into_its_annotation(component: str) -> None:
    for manifest in of_kind(f"{LOCAL} with {component}", "ConfigMap", "PrometheusRule"):
        assert len(json.dumps(manifest)) < APPLIED_BYTES, manifest["metadata"]["name"]
