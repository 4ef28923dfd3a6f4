"""Recording rules and alerts as values, and the YAML that Prometheus reads.

A runbook's address is made from the alert's name, so that none can be without. Where pages lie is the installation's to
say: Prometheus's external label `runbooks` holds the address of a copy of `grafana/runbooks`, and without it the
address is the page's path in the repository.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

RUNBOOKS = '{{ or $externalLabels.runbooks "grafana/runbooks" }}'
"""The folder of the runbooks, as an alert's template."""

HEADER = "# Made by `python -m grafana`: change what makes it, in grafana/, and not this file.\n"

Severity = Literal["critical", "warning", "info"]
"""What an alert asks for: somebody now, somebody today, nobody in particular."""


@dataclass(frozen=True)
class Recording:
    """A series that Prometheus computes and keeps.

    Attributes:
        record: Its name.
        expr: PromQL.
        labels: Added to those of the result.
    """

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alert:
    """A condition that somebody should know of.

    Attributes:
        alert: Its name, and that of its runbook.
        expr: PromQL that has a result while the condition holds.
        severity: What it asks for.
        summary: One sentence that is always the same.
        description: What was found and what to do, as a template.
        hold: How long the condition must hold, as Prometheus spells durations.
        keep: How long it fires on after the condition ended; empty for not at all.
        labels: Added to those of the result and to the severity.
    """

    alert: str
    expr: str
    severity: Severity
    summary: str
    description: str
    hold: str
    keep: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Group:
    """Rules that Prometheus evaluates one after the other, at one moment.

    Attributes:
        name: Of the group.
        interval: How often, as Prometheus spells durations.
        rules: In the order in which they read each other.
    """

    name: str
    interval: str
    rules: Sequence[Recording | Alert]


def rule_file(groups: Sequence[Group]) -> str:
    """The YAML of a file of rules."""
    content = {"groups": [_group(group) for group in groups]}
    return HEADER + yaml_text(content)


def yaml_text(content: Any) -> str:
    """YAML in the order in which it was made, texts of several lines as such."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)


def _group(group: Group) -> dict[str, Any]:
    return {"name": group.name, "interval": group.interval, "rules": [_rule(rule) for rule in group.rules]}


def _rule(rule: Recording | Alert) -> dict[str, Any]:
    if isinstance(rule, Recording):
        labels = {"labels": dict(rule.labels)} if rule.labels else {}
        return {"record": rule.record, "expr": rule.expr, **labels}
    keep = {"keep_firing_for": rule.keep} if rule.keep else {}
    return {
        "alert": rule.alert,
        "expr": rule.expr,
        "for": rule.hold,
        **keep,
        "labels": {"severity": rule.severity, **rule.labels},
        "annotations": {
            "summary": rule.summary,
            "description": rule.description,
            "runbook_url": f"{RUNBOOKS}/{rule.alert}.md",
        },
    }


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks."""


def _put_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _put_text)
