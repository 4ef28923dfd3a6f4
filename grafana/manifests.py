"""What Kubernetes gets of all this: rules for the Prometheus operator, and copies where kustomize can read them.

Kustomize reads no file outside the folder that it is given, so a component holds copies of rules and dashboards.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import yaml

from grafana.rule_files import HEADER, yaml_text

File = tuple[str, Callable[[], str]]
"""A path from the repository's root, and what gives the text."""

_OPERATED = "k8s/components/monitoring/rules.yaml"
_PLAIN = "k8s/components/prometheus/rules"
_ROUTES = "k8s/components/prometheus/alertmanager"
_DASHBOARDS = "k8s/components/monitoring/dashboards"


def manifest_files(rules: Sequence[File], dashboards: Sequence[File], routes: File) -> tuple[File, ...]:
    """The files of k8s that follow from rules, dashboards, and Alertmanager's routes."""
    return (
        (_OPERATED, lambda: rule_manifests(rules)),
        (f"{_ROUTES}/{_name(routes[0])}", routes[1]),
        *((f"{_PLAIN}/{_name(path)}", text) for path, text in rules),
        *((f"{_DASHBOARDS}/{_name(path)}", text) for path, text in dashboards),
    )


def rule_manifests(rules: Sequence[File]) -> str:
    """A PrometheusRule for each file of rules."""
    return HEADER + "---\n".join(yaml_text(_rule(path, text())) for path, text in rules)


def _rule(path: str, text: str) -> dict[str, object]:
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": f"gauntlet-{_name(path).removesuffix('.yaml')}"},
        "spec": yaml.safe_load(text),
    }


def _name(path: str) -> str:
    return path.rpartition("/")[2]
