"""The judge has no models, and asks scoring for their contracts: by a name, at a port, through policies that let it."""

from __future__ import annotations

import pytest
from renderings import KUBECTL, RENDERINGS, Manifest, matching, one, template_of

pytestmark = [
    pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed"),
    pytest.mark.parametrize("overlay", RENDERINGS),
]


def test_the_judge_reaches_the_admin_port_of_scoring_where_it_asks_for_contracts(overlay: str) -> None:
    (judge,) = template_of(overlay, "Deployment", "gauntlet-judge")["spec"]["containers"]
    variables = {variable["name"]: variable.get("value") for variable in judge["env"]}
    host, _, port = variables["GAUNTLET_SCORING_URL"].removeprefix("http://").partition(":")
    service = one(overlay, "Service", host)["spec"]
    assert matching(overlay, service["selector"]) == ["Deployment/gauntlet"]
    assert service["ports"] == [{"name": "admin", "port": int(port), "targetPort": "admin"}]
    (scoring,) = template_of(overlay, "Deployment", "gauntlet")["spec"]["containers"]
    assert {"name": "admin", "containerPort": int(port)} in scoring["ports"]
    out, into = (one(overlay, "NetworkPolicy", name)["spec"] for name in ("judge", "scoring"))
    assert "Egress" in out["policyTypes"]
    assert peers_by_port(out["egress"], "to")["scoring"] == {int(port)}
    assert peers_by_port(into["ingress"], "from")["judge"] == {"admin"}


def peers_by_port(rules: list[Manifest], side: str) -> dict[str, set[int | str]]:
    """The ports of a policy's rules by the component that they name."""
    found: dict[str, set[int | str]] = {}
    for rule in rules:
        for peer in rule[side]:
            component = peer.get("podSelector", {}).get("matchLabels", {}).get("app.kubernetes.io/component")
            found.setdefault(component, set()).update(port["port"] for port in rule["ports"])
    return found
