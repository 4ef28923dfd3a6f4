"""Marks of changes on the dashboards, asked of Prometheus's own engine: each at its moment, and at no other."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

BOARD = json.loads((Path(__file__).parents[3] / "grafana" / "dashboards" / "gauntlet-models.json").read_text())
MARKS = {mark["name"]: mark["target"]["expr"].replace("$namespace", ".*") for mark in BOARD["annotations"]["list"]}
PROMTOOL = shutil.which("promtool")
PODS = ("a", "b")
ROLES = {
    # Alone; a trial from 10 that ends in a promotion at 20, another from 30 that is rolled back at 40; nobody from 50.
    ("churn:1", "champion"): "1x19 stale",
    ("churn:2", "challenger"): "_x10 1x9 stale",
    ("churn:2", "champion"): "_x20 1x29 stale _x4 1x10",
    ("churn:3", "challenger"): "_x30 1x9 stale",
}
MODES = {"off": "1x9 0x9 1x9 0x9 1x30", "shadow": "0x9 1x9 0x9 1x9 0x30"}
"""By minute, as promtool reads them: a value `x` how many more of it, `_` for none, `stale` where a scrape lacks it."""

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(PROMTOOL is None, reason="promtool, which asks Prometheus's engine, is not on PATH"),
]


def series() -> list[dict[str, str]]:
    info = [
        {"series": f'gauntlet_model_info{{namespace="n",pod="{pod}",model="{model}",role="{role}"}}', "values": values}
        for pod in PODS
        for (model, role), values in ROLES.items()
    ]
    modes = [
        {"series": f'gauntlet_experiment_mode{{namespace="n",pod="{pod}",mode="{mode}"}}', "values": values}
        for pod in PODS
        for mode, values in MODES.items()
    ]
    return [*info, *modes]


@pytest.mark.parametrize(
    ("mark", "minute", "labels"),
    [
        ("Promotion", 0, []),  # a start from nothing is no change
        ("Promotion", 19, []),
        ("Promotion", 21, ["churn:2"]),
        ("Promotion", 23, []),
        ("Promotion", 56, []),
        ("Rollback", 15, []),
        ("Rollback", 21, []),  # who was promoted has another role
        ("Rollback", 39, []),
        ("Rollback", 41, ["churn:3"]),
        ("Rollback", 43, []),
        ("Rollback", 51, []),
        ("Mode", 9, []),
        ("Mode", 11, ["shadow"]),
        ("Mode", 13, []),
        ("Mode", 21, ["off"]),
    ],
)
def test_a_mark_stands_where_something_changed(tmp_path: Path, mark: str, minute: int, labels: list[str]) -> None:
    label = "mode" if mark == "Mode" else "model"
    expected = [{"labels": f'{{namespace="n",{label}="{value}"}}', "value": 1} for value in labels]
    asked = {"expr": MARKS[mark], "eval_time": f"{minute}m", "exp_samples": expected}
    test: dict[str, Any] = {"interval": "1m", "input_series": series(), "promql_expr_test": [asked]}
    path = tmp_path / "marks.yaml"
    path.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    done = subprocess.run([str(PROMTOOL), "test", "rules", str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
