"""Recording rules of drift: shares, PSI and its kin from counters, over any number of replicas and restarts."""

from __future__ import annotations

from grafana.rule_files import Group, Recording, rule_file
from service import metric_names as names


def rules_text() -> str:
    """The text of `rules/drift.yaml`."""
    increase = f"sum by (namespace, model, feature, bin) (increase({names.FEATURE_BINS}[1h]))"
    return rule_file([Group("gauntlet-drift-1h", "1m", [Recording("gauntlet:feature_bin:increase1h", increase)])])
