"""Every file that is made by code of `grafana`, there and in `k8s`, and what makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from grafana import drift
from grafana.alerts.experiment import experiment_rules
from grafana.alerts.models import models_rules
from grafana.alerts.service import service_rules
from grafana.dashboards import dashboard_files
from grafana.manifests import manifest_files

ROOT = Path(__file__).parent.parent

_RULES: tuple[tuple[str, Callable[[], str]], ...] = (
    ("grafana/rules/drift.yaml", drift.rules_text),
    ("grafana/rules/service.yaml", service_rules),
    ("grafana/rules/experiment.yaml", experiment_rules),
    ("grafana/rules/models.yaml", models_rules),
)

_ROUTES = "grafana/alertmanager.yaml"
"""Written by hand."""

GENERATED: tuple[tuple[str, Callable[[], str]], ...] = (
    *_RULES,
    *dashboard_files(),
    *manifest_files(_RULES, dashboard_files(), (_ROUTES, lambda: (ROOT / _ROUTES).read_text(encoding="utf-8"))),
)
"""Paths from the repository's root, and functions that give the texts."""


def differing(folder: Path = ROOT) -> list[str]:
    """The paths of those that are not in the folder as they would be made now."""
    return [path for path, text in GENERATED if _read(folder / path) != text()]


def write(folder: Path = ROOT) -> list[str]:
    """Make all that differ; gives their paths."""
    found = [(path, text()) for path, text in GENERATED]
    changed = [(path, text) for path, text in found if _read(folder / path) != text]
    for path, text in changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return [path for path, _ in changed]


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
