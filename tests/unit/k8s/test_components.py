"""What each component brings, on the local overlay."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from itertools import product

import pytest
from renderings import (
    COMPONENTS,
    K8S,
    KUBECTL,
    LOCAL,
    RENDERINGS,
    Manifest,
    has_component,
    of_kind,
    one,
    template_of,
)

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")

PUBLIC = {"/v1", "/v2", "/docs"}
RIGHTS = {
    "gauntlet-roles": {
        ("", "configmaps", "get"),
        ("", "configmaps", "patch"),
        ("", "pods", "list"),
        ("", "pods", "patch"),
    },
    "gauntlet-prometheus": {("", "pods", "list"), ("", "pods", "watch")},
}
"""What each Role grants: API group, resource, verb; what tests/cluster sees them use."""
IN_LOCAL = {"mlflow", "postgres"}
PARTS = {"gateway-api/route"}
"""Folders that only another component takes."""


def component(name: str) -> str:
    return f"{LOCAL} with {name}"


def test_every_component_is_among_those_that_are_looked_at() -> None:
    folders = {path.parent.relative_to(K8S / "components") for path in K8S.glob("components/**/kustomization.yaml")}
    assert {str(folder) for folder in folders} == {*COMPONENTS, *IN_LOCAL, *PARTS}


def paths_of(way: Manifest) -> set[str]:
    """What an Ingress or an HTTPRoute lets through."""
    if way["kind"] == "Ingress":
        return {path["path"] for rule in way["spec"]["rules"] for path in rule["http"]["paths"]}
    return {match["path"]["value"] for rule in way["spec"]["rules"] for match in rule["matches"]}


def hosts_of(way: Manifest) -> list[str]:
    if way["kind"] == "Ingress":
        return [rule["host"] for rule in way["spec"]["rules"]]
    return list(way["spec"]["hostnames"])


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_there_is_one_way_in_for_one_host_and_it_leads_to_public_routes_only(rendering: str) -> None:
    ways = of_kind(rendering, "Ingress", "HTTPRoute")
    (way,) = (way for way in ways if way["metadata"]["name"] == "gauntlet")
    assert (way["kind"] == "HTTPRoute") == has_component(rendering, "gateway-api")
    assert paths_of(way) == PUBLIC
    (host,) = hosts_of(way)
    assert host.startswith("gauntlet.")
    (service,) = backends_of(way)
    assert service in {(m["metadata"]["name"], port) for m in of_kind(rendering, "Service") for port in ports_of(m)}


def backends_of(way: Manifest) -> set[tuple[str, str | int]]:
    if way["kind"] == "Ingress":
        services = [path["backend"]["service"] for rule in way["spec"]["rules"] for path in rule["http"]["paths"]]
        return {(service["name"], service["port"]["name"]) for service in services}
    return {(to["name"], to["port"]) for rule in way["spec"]["rules"] for to in rule["backendRefs"]}


def ports_of(service: Manifest) -> set[str | int]:
    return {port[key] for port in service["spec"]["ports"] for key in ("name", "port")}


@pytest.mark.parametrize("name", ["gateway-api", "gateway-api/tls"])
def test_every_route_is_of_the_gateways_host_and_names_a_listener_that_is_there(name: str) -> None:
    gateway = one(component(name), "Gateway", "gauntlet")
    listeners = {listener["name"]: listener for listener in gateway["spec"]["listeners"]}
    assert {listener["hostname"] for listener in listeners.values()} == {"gauntlet.localhost"}
    for route in of_kind(component(name), "HTTPRoute"):
        (parent,) = route["spec"]["parentRefs"]
        assert parent["name"] == "gauntlet"
        assert parent.get("sectionName", "http") in listeners
        assert route["spec"]["hostnames"] == ["gauntlet.localhost"]


def test_a_gateway_with_tls_answers_by_https_and_only_redirects_otherwise() -> None:
    rendering = component("gateway-api/tls")
    listeners = one(rendering, "Gateway", "gauntlet")["spec"]["listeners"]
    assert {listener["name"]: listener.get("tls", {}).get("certificateRefs") for listener in listeners} == {
        "http": None,
        "https": [{"name": "gauntlet-tls"}],
    }
    assert one(rendering, "HTTPRoute", "gauntlet")["spec"]["parentRefs"][0]["sectionName"] == "https"
    redirecting = one(rendering, "HTTPRoute", "gauntlet-to-https")["spec"]
    assert redirecting["parentRefs"][0]["sectionName"] == "http"
    assert [set(rule) for rule in redirecting["rules"]] == [{"filters"}]


@pytest.mark.parametrize("rendering", ["overlays/staging", "overlays/production", component("tls")])
def test_the_certificate_is_for_the_host_of_the_rule(rendering: str) -> None:
    ingress = one(rendering, "Ingress", "gauntlet")
    assert ingress["spec"]["tls"] == [{"hosts": hosts_of(ingress), "secretName": "gauntlet-tls"}]
    assert ingress["metadata"]["annotations"]["traefik.ingress.kubernetes.io/router.entrypoints"] == "websecure"


def test_cert_manager_is_asked_by_the_ingress_and_may_answer_its_challenge() -> None:
    rendering = component("tls/cert-manager")
    assert "cert-manager.io/cluster-issuer" in one(rendering, "Ingress", "gauntlet")["metadata"]["annotations"]
    policy = one(rendering, "NetworkPolicy", "acme-challenge")["spec"]
    # Its pods carry none of our labels.
    assert policy["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}


def test_the_gate_announces_a_pass_where_its_component_is_taken() -> None:
    told = {}
    for name in ("train", "gate", "retrain"):
        template = template_of(component("on-pass"), "CronJob", name)
        (container,) = template["spec"]["containers"]
        told[name] = {variable["name"] for variable in container["env"]} & {"GAUNTLET_ON_PASS_URL"}
        assert {m["name"] for m in container["volumeMounts"]} <= {v["name"] for v in template["spec"]["volumes"]}
    announced = {"GAUNTLET_ON_PASS_URL"}
    assert told == {"train": set(), "gate": announced, "retrain": announced}


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_rights_are_those_that_are_used_and_hold_in_the_namespace_alone(rendering: str) -> None:
    assert not of_kind(rendering, "ClusterRole", "ClusterRoleBinding")
    roles = {m["metadata"]["name"]: set(grants_of(m)) for m in of_kind(rendering, "Role")}
    assert roles == {name: RIGHTS[name] for name in roles}
    for binding in of_kind(rendering, "RoleBinding"):
        (subject,) = binding["subjects"]
        assert (subject["name"], subject["namespace"]) == (binding["roleRef"]["name"], "gauntlet")


def grants_of(role: Manifest) -> Iterator[tuple[str, str, str]]:
    for rule in role["rules"]:
        yield from product(rule["apiGroups"], rule["resources"], rule["verbs"])


def test_groq_gets_its_key_from_a_secret_and_a_way_out_of_the_cluster_alone() -> None:
    rendering = component("groq")
    spec = template_of(rendering, "Deployment", "gauntlet-insight")["spec"]
    (insight,) = spec["containers"]
    (mounted,) = [mount for mount in insight["volumeMounts"] if mount["name"] == "groq"]
    (variable,) = [one for one in insight["env"] if one["name"] == "GAUNTLET_GROQ_API_KEY_FILE"]
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "groq"]
    assert variable["value"] == f"{mounted['mountPath']}/api-key"
    assert volume["secret"] == {"secretName": "gauntlet-groq", "optional": True}
    policy = one(rendering, "NetworkPolicy", "insight-to-groq")["spec"]
    assert policy["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "insight"
    (way,) = policy["egress"]
    assert way["ports"] == [{"protocol": "TCP", "port": 443}]
    world = [ip_network(to["ipBlock"]["cidr"]) for to in way["to"] if ":" not in to["ipBlock"]["cidr"]]
    inside = [ip_network(hole) for to in way["to"] for hole in to["ipBlock"].get("except", [])]
    for address in ("10.96.0.1", "10.244.0.7", "192.168.1.1", "172.31.0.1", "169.254.169.254", "127.0.0.1"):
        assert any(ip_address(address) in network for network in world)
        assert any(ip_address(address) in network for network in inside)
