"""Who reaches whom: a pod of each component tries each door, by the network policies of the installation."""

from __future__ import annotations

import pytest
from doors import doors_open_to
from installing import Installation

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]

DOORS = {
    "console": ("gauntlet-console", 3005),
    "scoring": ("gauntlet", 80),
    "scoring's admin port": ("gauntlet-admin", 3001),
    "insight": ("gauntlet-insight", 3004),
    "judge": ("gauntlet-judge", 3002),
    "mlflow": ("gauntlet-mlflow", 5000),
    "postgres": ("gauntlet-postgres", 5432),
}
ALLOWED = {
    "scoring": {"insight", "judge", "postgres"},
    "insight": set[str](),
    "console": {"scoring", "mlflow", "postgres"},
    "judge": {"scoring's admin port", "postgres"},
    "train": {"mlflow"},
    "gate": {"mlflow"},
    "roles": {"scoring's admin port", "mlflow", "postgres"},
    "score-file": {"mlflow"},
    "somebody": set[str](),
}


@pytest.mark.parametrize("component", sorted(ALLOWED))
def test_a_component_reaches_what_it_needs_and_nothing_else(installation: Installation, component: str) -> None:
    assert doors_open_to(installation.kube, component, DOORS) == ALLOWED[component]
