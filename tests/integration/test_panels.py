"""Every expression of every panel, asked of a real Prometheus that scraped the real service under traffic."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from observed_toys import (
    PROMETHEUS,
    ROOT,
    RULES,
    asked,
    hurried_rules,
    prometheus,
    serving_under_traffic,
    write_configuration,
)
from packing_toys import free_port

BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "grafana" / "dashboards").glob("*.json"))}
CHOSEN = {"$namespace": ".*", "$model": ".*", "$variant": ".*", "$attribute": ".*", "${window}": "1h"}
"""Everything; and of the windows the one that needs no day to fill."""
SPANS = {"$__rate_interval": "15s", "$__range": "1m"}

pytestmark = [
    pytest.mark.servers,
    pytest.mark.timeout(600),
    pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not on PATH"),
]


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A Prometheus that has seen the service for a while."""
    place = tmp_path_factory.mktemp("observed")
    with serving_under_traffic(place / "home") as (folder, _):
        rules = hurried_rules(place / "rules", sorted(RULES.glob("*.yaml")))
        configuration = write_configuration(place / "prometheus.yml", folder, rules)
        with prometheus(place, configuration, free_port()) as client:
            yield client


def filled(expr: str, client: httpx.Client) -> str:
    """An expression as Grafana would send it."""
    found = client.get("/api/v1/label/model/values", params={"match[]": "gauntlet_judge_matured_customers"}).json()
    chosen = {**CHOSEN, **SPANS, "$challenger": next(iter(found["data"]), "nobody")}
    for variable, value in chosen.items():
        expr = expr.replace(variable, value)
    return expr


def shown(client: httpx.Client, expr: str) -> list[float]:
    """The numbers that a panel would show."""
    values = [float(sample["value"][1]) for sample in asked(client, filled(expr, client))]  # type: ignore[index]
    return [value for value in values if not math.isnan(value)]


def expressions(board: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", target["expr"]


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_shows_nothing(name: str, observed: httpx.Client) -> None:
    wanted, until = dict(expressions(BOARDS[name])), time.monotonic() + 150
    while wanted:
        wanted = {title: expr for title, expr in wanted.items() if not shown(observed, expr)}
        if wanted and time.monotonic() > until:
            pytest.fail("\n".join(f"{title} shows nothing: {filled(expr, observed)}" for title, expr in wanted.items()))
        time.sleep(1)


def test_whom_the_judge_knows_by_digest_is_offered_by_the_name_that_scoring_gives(observed: httpx.Client) -> None:
    (variable,) = (one for one in BOARDS["gauntlet-experiment"]["templating"]["list"] if one["name"] == "challenger")
    query = variable["query"].removeprefix("query_result(").removesuffix(")")
    info = "gauntlet_model_info{role='challenger'}"
    until = time.monotonic() + 150
    while not (offered := asked(observed, filled(query, observed))) or "identity" not in offered[0]["metric"]:  # type: ignore[index]
        assert time.monotonic() < until, offered
        time.sleep(1)
    (scoring,) = {(one["metric"]["model"], one["metric"]["digest"][7:19]) for one in asked(observed, info)}  # type: ignore[index]
    assert [(one["metric"]["identity"], one["metric"]["model"]) for one in offered] == [scoring]  # type: ignore[index]


def test_panels_of_durations_show_single_requests(observed: httpx.Client) -> None:
    wanted = {
        panel["title"]: target["expr"]
        for board in BOARDS.values()
        for panel in board["panels"]
        for target in panel.get("targets", [])
        if target.get("exemplar")
    }
    assert wanted.keys() == {"Duration (p99)", "Duration of single rows"}
    now = time.time()
    for title, expr in wanted.items():
        asked_for = {"query": filled(expr, observed), "start": str(now - 3600), "end": str(now)}
        answer = observed.get("/api/v1/query_exemplars", params=asked_for).json()
        assert answer["status"] == "success", f"{title}: {answer}"
        found = [one["labels"] for series in answer["data"] for one in series["exemplars"]]
        assert found, f"{title} shows no request"
        assert {tuple(labels) for labels in found} == {("prediction_id",)}


@pytest.mark.parametrize("name", BOARDS)
def test_marks_of_changes_can_be_asked_for(name: str, observed: httpx.Client) -> None:
    for mark in BOARDS[name]["annotations"]["list"]:
        asked(observed, filled(mark["target"]["expr"], observed))


def test_a_panel_of_a_series_that_nobody_makes_is_found_out(observed: httpx.Client) -> None:
    assert shown(observed, "max(gauntlet_no_such_thing)") == []
    assert shown(observed, "max(gauntlet_ready)") == [1.0]


def test_a_service_that_is_well_raises_none_of_the_alerts_of_processes_and_models(observed: httpx.Client) -> None:
    ours = {
        name
        for rules in (RULES / "service.yaml", RULES / "models.yaml")
        for name in re.findall(r"- alert: (\w+)", rules.read_text())
    } - {"GauntletLatencyBudgetBurns"}  # a busy machine may be slow, and no test asserts a time
    raised = {sample["metric"]["alertname"] for sample in asked(observed, "ALERTS")}  # type: ignore[index]
    assert ours & raised == set()


def test_every_rule_can_be_evaluated(observed: httpx.Client) -> None:
    groups = observed.get("/api/v1/rules").json()["data"]["groups"]
    wrong = {
        rule["name"]: rule.get("lastError") for group in groups for rule in group["rules"] if rule["health"] == "err"
    }
    assert wrong == {}
    assert {Path(group["file"]).name for group in groups} == {path.name for path in RULES.glob("*.yaml")}
