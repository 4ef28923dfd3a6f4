"""The dashboards: complete panels, on a page without holes or overlaps, of series that somebody makes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

# isort: split
from grafana.boards import panels  # before the SDK, whose warning it keeps back

# isort: split
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from service.metric_names import HELP, JUDGE_HELP, SHIPPER_HELP
from validation import pages

GRAFANA = Path(__file__).parents[3] / "grafana"
BOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
FAIRNESS = BOARDS["gauntlet-fairness"]
WITHOUT_SERIES = {"row", "text"}
GIVEN = {"ALERTS", "ALERTS_FOR_STATE", "process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Series that Prometheus and the kernel's numbers give."""

register_default_plugins()
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=list(BOARDS))


def panels_of(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] not in WITHOUT_SERIES]


def expressions(board: dict[str, Any]) -> Iterator[str]:
    for panel in panels_of(board):
        yield from (target["expr"] for target in panel["targets"])
    yield from (mark["target"]["expr"] for mark in board["annotations"]["list"])


def known_series() -> set[str]:
    recorded = set()
    for path in (GRAFANA / "rules").glob("*.yaml"):
        groups = yaml.safe_load(path.read_text())["groups"]
        recorded |= {rule["record"] for group in groups for rule in group["rules"] if "record" in rule}
    return recorded | set(HELP) | set(JUDGE_HELP) | set(SHIPPER_HELP) | GIVEN


@every_board
def test_the_sdk_reads_what_it_made(board: dict[str, Any]) -> None:
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    assert again == board


@every_board
def test_every_panel_says_what_it_shows_in_a_unit_with_thresholds(board: dict[str, Any]) -> None:
    for panel in panels_of(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert len(panel["description"]) > 20, panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["color"], panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["targets"], panel["title"]


def test_a_panel_of_fairness_says_why_it_is_empty() -> None:
    """A group that nobody has matured in is no group without a gap."""
    said = {panel["title"]: panel["fieldConfig"]["defaults"].get("noValue") for panel in panels_of(FAIRNESS)}
    assert all(said.values()), said


@pytest.mark.parametrize(
    ("found", "text", "value"),
    [
        ('{identity="churn:2",model="aaaabbbbcccc"} 1 1767225600000', "churn:2", "aaaabbbbcccc"),
        ('{model="aaaabbbbcccc"} 1 1767225600000', None, "aaaabbbbcccc"),
    ],
)
def test_a_challenger_is_shown_by_name_where_one_is_known(found: str, text: str | None, value: str) -> None:
    """As Grafana reads what `query_result` gives: by groups `text` and `value`, one for the other where it lacks."""
    for board in (BOARDS["gauntlet-experiment"], FAIRNESS):
        (variable,) = (one for one in board["templating"]["list"] if one["name"] == "challenger")
        matched = re.search(variable["regex"].strip("/").replace("(?<", "(?P<"), found)
        assert matched, variable["regex"]
        assert matched.groupdict() == {"text": text, "value": value}


def test_a_gap_has_two_sides() -> None:
    gaps = [expr for expr in expressions(FAIRNESS) if expr.startswith("(max by (attribute)")]
    assert len(gaps) == 10
    for expr in gaps:
        of = re.search(r"\(gauntlet_judge_protected_\w+_ratio\{[^}]*\}\)", expr)
        assert of, expr
        sides = f"(max by (attribute) {of[0]} - min by (attribute) {of[0]})"
        assert expr == f"{sides} and on (attribute) count by (attribute) {of[0]} > 1"


@every_board
def test_panels_fill_their_lines_and_none_lies_on_another(board: dict[str, Any]) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} lies on {taken[x, y]}"
                taken[x, y] = panel["title"]
    bottom = max(y for _, y in taken)
    assert set(taken) == {(x, y) for x in range(panels.GRID_WIDTH) for y in range(bottom + 1)}


@every_board
def test_ids_are_unique_and_titles_within_a_board_too(board: dict[str, Any]) -> None:
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    titles = [panel["title"] for panel in panels_of(board)]
    assert len(set(titles)) == len(titles)


@every_board
def test_every_variable_that_is_used_is_there_and_every_one_that_is_there_is_used(board: dict[str, Any]) -> None:
    defined = {variable["name"] for variable in board["templating"]["list"]}
    text = json.dumps([*expressions(board), *(panel.get("fieldConfig") for panel in board["panels"])])
    used = {name for pair in re.findall(r"\$(?:\{([a-z_]\w*)\}|([a-z_]\w*))", text) for name in pair if name} - {
        "__data"
    }
    used = {name for name in used if not name.startswith("__")} | {"datasource"}
    assert used - defined == set()
    assert defined - used <= {"runbooks"}


@every_board
def test_every_series_that_is_asked_for_is_made_by_somebody(board: dict[str, Any]) -> None:
    known = known_series()
    for expr in expressions(board):
        chosen = expr.replace("${window}", "1d")
        for name in re.findall(r"\b(?:gauntlet[\w:]+|process_\w+|ALERTS\w*)\b", re.sub(r'"[^"]*"', "", chosen)):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert name in known or family in known, f"{name} in {expr}"


@every_board
def test_changes_of_roles_and_alerts_are_marked_and_the_others_are_a_click_away(board: dict[str, Any]) -> None:
    assert [mark["name"] for mark in board["annotations"]["list"]] == [
        "Promotion", "Rollback", "Mode", "Revision", "Alerts",
    ]  # fmt: skip
    (link,) = board["links"]
    assert (link["type"], link["tags"], link["includeVars"], link["keepTime"]) == (
        "dashboards", ["gauntlet"], True, True
    )  # fmt: skip
    assert board["tags"] == ["gauntlet"]


def test_there_are_five_and_each_is_called_as_its_file() -> None:
    assert {board["uid"] for board in BOARDS.values()} == set(BOARDS)
    assert len(BOARDS) == 5


def test_an_alert_leads_to_its_runbook() -> None:
    (table,) = (
        panel
        for panel in BOARDS["gauntlet-production"]["panels"]
        if panel["title"] == "Alerts" and panel["type"] == "table"
    )
    links = [
        one["value"][0]["url"]
        for o in table["fieldConfig"]["overrides"]
        for one in o["properties"]
        if one["id"] == "links"
    ]
    assert links == ["${runbooks}/${__data.fields.Alert}.md"]


def test_colours_mean_what_they_mean_on_the_gates_pages() -> None:
    assert (panels.CHALLENGER, panels.CHAMPION, panels.BOUND) == (pages.CANDIDATE, pages.CHAMPION, pages.BOUND)
