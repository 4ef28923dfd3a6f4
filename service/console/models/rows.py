"""Runs, versions and changes of roles as rows of tables, and runs as a Parquet file. Values in, values out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bentos.blessings import BLESSING_TAG
from bentos.registry import Version
from bentos.roles import short
from service.console.gate.reading import Judged
from service.console.models.reading import (
    FIRST_METRICS,
    Basis,
    Measured,
    Standing,
    Tried,
    as_number,
    is_numeric,
    metrics_in,
    parameters_in,
    why,
)
from service.micros import from_micros
from validation.gate.wording import number
from validation.judge.audit import Change

Row = dict[str, Any]
_TOLD_ELSEWHERE = ("estimator",)
_FROM: dict[Basis, str] = {"validation": "cross-validation", "gate": "gate, holdout"}


def run_columns(tried: Sequence[Tried]) -> list[Row]:
    """Columns of the table of runs: who, when and how, the first metrics, every parameter, every other metric."""
    metrics = metrics_in(tried, "validation")
    first = [metric for metric in metrics if metric in FIRST_METRICS]
    rest = [metric for metric in metrics if metric not in FIRST_METRICS]
    return [
        {"field": "label", "headerName": "Run", "minWidth": 150, "pinned": "left"},
        {"field": "role", "headerName": "Role", "cellRenderer": "Status", "minWidth": 140},
        {"field": "estimator", "headerName": "Estimator", "minWidth": 250},
        *(_number_column(f"m:{metric}", metric) for metric in first),
        {"field": "verdict", "headerName": "Gate", "cellRenderer": "Link", "minWidth": 130},
        {"field": "started", "headerName": "Started, UTC", "minWidth": 195},
        {"field": "status", "headerName": "Status", "cellRenderer": "Status", "minWidth": 120},
        _number_column("seconds", "Seconds"),
        *(
            _number_column(f"p:{name}", name) if is_numeric(values) else _text_column(f"p:{name}", name)
            for name, values in parameters_in(tried).items()
            if name not in _TOLD_ELSEWHERE
        ),
        *(_number_column(f"m:{metric}", metric) for metric in rest),
    ]


def run_rows(tried: Sequence[Tried]) -> list[Row]:
    """Runs as rows of that table."""
    numeric = {name for name, values in parameters_in(tried).items() if is_numeric(values)}
    metrics = metrics_in(tried, "validation")
    return [_run_row(one, metrics, numeric) for one in tried]


def version_row(version: Version, standing: Standing, judged: Judged | None, tried: Tried | None) -> Row:
    """A version in the table of the registry."""
    return {
        "version": f"version {version.number}",
        "role": standing.role,
        "since": standing.since,
        "by": standing.by,
        "why": standing.why,
        "verdict": judged.verdict if judged else "not judged",
        "href": f"/gate?report={judged.name}" if judged else None,
        "reason": judged.reason if judged else "",
        "blessing": short(version.tags.get(BLESSING_TAG, "")) or "none",
        "estimator": tried.estimator if tried else version.tags.get("estimator", "").rpartition(".")[2],
        "made": _moment(version.made_ms),
        "digest": short(version.digest),
        "data": version.tags.get("data_source", ""),
    }


def change_row(change: Change, versions: Sequence[Version]) -> Row:
    """A change of roles in the table of all."""
    by_digest = {version.digest: f"version {version.number}" for version in reversed(versions)}

    def named(digest: str | None) -> str:
        return by_digest.get(digest or "", short(digest)) if digest else ""

    done = {
        "promote": f"{named(change.challenger)} became champion, {named(change.champion)} was archived",
        "rollback": f"{named(change.challenger)} was archived, {named(change.champion)} is champion",
        "bootstrap": f"{named(change.champion)} became the first champion",
    }[change.action]
    return {
        "at": f"{from_micros(change.at):%Y-%m-%d %H:%M:%S}",
        "who": change.who,
        "action": change.action,
        "done": done if change.aliases != "void" else f"void: {done} was not done",
        "why": why(change),
        "aliases": change.aliases + (f": {change.note}" if change.note else ""),
        "number": change.number,
    }


def comparison_columns(chosen: Sequence[Tried]) -> list[Row]:
    """Columns of the table that compares: what, and one a run."""
    return [
        {"field": "what", "headerName": "What", "minWidth": 190, "pinned": "left"},
        {"field": "of", "headerName": "From", "minWidth": 170},
        *(
            {
                "field": one.run.id,
                "headerName": f"{one.label} ({one.standing.role})",
                "minWidth": 250,
                "type": "rightAligned",
            }
            for one in chosen
        ),
    ]


def comparison_rows(chosen: Sequence[Tried], metrics: Sequence[str]) -> list[Row]:
    """Metrics from both sources, then the parameters in which the runs differ."""
    found: list[Row] = []
    for basis, of in _FROM.items():
        for metric in metrics:
            values = {one.run.id: say_measured(one.measured(metric, basis), basis) for one in chosen}
            if any(values.values()):
                found.append({"what": metric, "of": of, **values})
    for name, different in parameters_in(chosen).items():
        values = {one.run.id: one.run.parameters.get(name, "") for one in chosen}
        if len(different) > 1 or "" in values.values():
            found.append({"what": name, "of": "parameter", **values})
    return found


def say_measured(measured: Measured | None, basis: Basis) -> str:
    """A metric as a table says it; nothing where there is none.

    >>> say_measured(Measured(0.8, 0.79, 0.81), "validation"), say_measured(Measured(0.8, 0.7, 0.9), "gate")
    ('0.8000 ± 0.0100', '0.8000 (0.7000 to 0.9000)')
    """
    if measured is None:
        return ""
    if measured.low is None or measured.high is None:
        return number(measured.value)
    if basis == "validation":
        return f"{number(measured.value)} ± {number(measured.high - measured.value)}"
    return f"{number(measured.value)} ({number(measured.low)} to {number(measured.high)})"


def to_parquet(tried: Sequence[Tried]) -> bytes:
    """Runs as the bytes of a Parquet file, in their order, every number with all its digits.

    Columns are those of the run, then `parameter.NAME`, `metric.NAME` as tracked, and `gate.NAME` with `_low` and
    `_high`, the ends of its 95 % interval.
    """
    columns: dict[str, pa.Array] = {
        "run": pa.array([one.run.id for one in tried], pa.string()),
        "name": pa.array([one.run.name for one in tried], pa.string()),
        "status": pa.array([one.run.status for one in tried], pa.string()),
        "started_at": pa.array([one.run.started_ms for one in tried], pa.timestamp("ms", "UTC")),
        "ended_at": pa.array([one.run.ended_ms for one in tried], pa.timestamp("ms", "UTC")),
        "version": pa.array([one.version and one.version.number for one in tried], pa.string()),
        "digest": pa.array([one.version and one.version.digest for one in tried], pa.string()),
        "role": pa.array([one.standing.role for one in tried], pa.string()),
        "estimator": pa.array([one.estimator for one in tried], pa.string()),
        "verdict": pa.array([one.judged and one.judged.verdict for one in tried], pa.string()),
    }
    for name, values in parameters_in(tried).items():
        columns[f"parameter.{name}"] = _parameter(tried, name, is_number=is_numeric(values))
    for name in sorted({name for one in tried for name in one.run.metrics}):
        columns[f"metric.{name}"] = pa.array([one.run.metrics.get(name) for one in tried], pa.float64())
    for name in metrics_in(tried, "gate"):
        columns |= _from_gate(tried, name)
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made)
    return made.getvalue()


def _parameter(tried: Sequence[Tried], name: str, *, is_number: bool) -> pa.Array:
    given = [one.run.parameters.get(name) for one in tried]
    if not is_number:
        return pa.array(given, pa.string())
    return pa.array([None if value is None else as_number(value) for value in given], pa.float64())


def _from_gate(tried: Sequence[Tried], name: str) -> Mapping[str, pa.Array]:
    found = [one.measured(name, "gate") for one in tried]
    ends = (("", "value"), ("_low", "low"), ("_high", "high"))
    return {
        f"gate.{name}{ending}": pa.array([one and getattr(one, end) for one in found], pa.float64())
        for ending, end in ends
    }


def _run_row(one: Tried, metrics: Iterable[str], numeric: set[str]) -> Row:
    found = {metric: one.measured(metric, "validation") for metric in metrics}
    row: Row = {
        "id": one.run.id,
        "label": one.label,
        "role": one.standing.role,
        "estimator": one.estimator,
        "verdict": one.judged.verdict if one.judged else None,
        "href": f"/gate?report={one.judged.name}" if one.judged else None,
        "started": _moment(one.run.started_ms),
        "status": one.run.status,
        "seconds": None if one.run.ended_ms is None else round((one.run.ended_ms - one.run.started_ms) / 1000, 1),
    }
    row |= {f"m:{metric}": float(number(each.value)) for metric, each in found.items() if each is not None}
    row |= {
        f"p:{name}": as_number(value) if name in numeric else value
        for name, value in one.run.parameters.items()
        if name not in _TOLD_ELSEWHERE
    }
    return row


def _number_column(field: str, name: str) -> Row:
    width = max(110, 62 + 8 * len(name))
    return {
        "field": field,
        "headerName": name,
        "type": "rightAligned",
        "filter": "agNumberColumnFilter",
        "minWidth": width,
    }


def _text_column(field: str, name: str) -> Row:
    return {"field": field, "headerName": name, "minWidth": max(130, 62 + 8 * len(name)), "tooltipField": field}


def _moment(milliseconds: int) -> str:
    if not milliseconds:
        return ""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"
