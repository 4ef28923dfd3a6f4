"""What runbooks type at kubectl is about things that are there, and what they look for in logs is said there."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from renderings import KUBECTL, LOCAL, ROOT, containers_in, matching, named, rendered, template_of

from k8s.live import CONFIGMAP

RENDERING = f"{LOCAL} with prometheus"
RUNBOOKS = {path.stem: path.read_text() for path in sorted((ROOT / "grafana" / "runbooks").glob("*.md"))}
KINDS = {
    "configmap": "ConfigMap",
    "cronjob": "CronJob",
    "deployment": "Deployment",
    "hpa": "HorizontalPodAutoscaler",
    "ingress": "Ingress",
    "networkpolicy": "NetworkPolicy",
    "statefulset": "StatefulSet",
}
"""As kubectl is told, and as manifests say; of others no name is typed."""
MADE_LATER = {f"ConfigMap/{CONFIGMAP}"}
LOGGED = re.compile(r"\| grep ([a-z_]+)")
SAID_BY = ("service", "validation", "bentos")

every_runbook = pytest.mark.parametrize("name", RUNBOOKS)
needs_kubectl = pytest.mark.skipif(KUBECTL is None, reason="kubectl, which renders the manifests, is not installed")


def commands(name: str) -> list[str]:
    """What is typed at kubectl, in blocks and between backticks, up to a pipe."""
    return [line.partition(" | ")[0] for line in re.findall(r"kubectl [^`\n]+", RUNBOOKS[name])]


def objects_in(command: str) -> Iterator[str]:
    """What a command names, as `Kind/name`."""
    for kind, names in re.findall(rf"\b({'|'.join(KINDS)})(?:s?/| )((?:[a-z][a-z0-9-]*(?: |$))+)", f"{command} "):
        yield from (f"{KINDS[kind]}/{name}" for name in names.split())


@needs_kubectl
@every_runbook
def test_every_object_that_a_runbook_names_is_there(name: str) -> None:
    there = {named(manifest) for manifest in rendered(RENDERING)} | MADE_LATER
    assert {one for command in commands(name) for one in objects_in(command)} <= there


@needs_kubectl
@every_runbook
def test_every_container_that_a_runbook_names_is_in_its_workload(name: str) -> None:
    for command in commands(name):
        for container in re.findall(r"--container ([a-z]+)", command):
            (workload,) = objects_in(command)
            kind, _, of = workload.partition("/")
            assert container in {one["name"] for one in containers_in(template_of(RENDERING, kind, of))}, command


@needs_kubectl
@every_runbook
def test_every_selector_of_a_runbook_finds_pods_or_a_service(name: str) -> None:
    services = {m["metadata"]["name"] for m in rendered(RENDERING) if m["kind"] == "Service"}
    for command in commands(name):
        for selector in re.findall(r"--selector (\S+)", command):
            labels = dict(pair.split("=") for pair in selector.split(","))
            service = labels.pop("kubernetes.io/service-name", None)
            assert service is None or service in services, command
            assert labels.keys() == {"job-name"} or matching(RENDERING, labels), command


@every_runbook
def test_what_a_runbook_looks_for_in_a_log_is_said_there(name: str) -> None:
    code = "\n".join(path.read_text() for plane in SAID_BY for path in (ROOT / plane).rglob("*.py"))
    for part in LOGGED.findall(RUNBOOKS[name]):
        assert re.search(rf'"\w*{part}\w*"', code), part
    for event in re.findall(r"[Ll]og says `([a-z_]+)`", RUNBOOKS[name]):
        assert f'"{event}"' in code, event


def test_commands_name_objects() -> None:
    """That this reads them at all."""
    found = {one for name in RUNBOOKS for command in commands(name) for one in objects_in(command)}
    assert {"Deployment/gauntlet", "Deployment/gauntlet-judge", "CronJob/retrain", "NetworkPolicy/scoring"} <= found
