"""Runs at the tracking server as values: what was tried, with which parameters, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

PAGE_SIZE = 1000
"""How many of anything are asked for in one request."""


@dataclass(frozen=True)
class TrackedRun:
    """One run.

    Attributes:
        id: At the tracking server.
        name: As whoever began it called it.
        status: `FINISHED`, `FAILED`, `RUNNING` and what else MLflow knows.
        started_ms: When, milliseconds since 1970 UTC.
        ended_ms: When; None while it runs.
        parameters: As text, by name.
        metrics: The last value of each, by name.
        tags: What is said of it.
    """

    id: str
    name: str
    status: str
    started_ms: int
    ended_ms: int | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


def run_of(found: MlflowRun) -> TrackedRun:
    """A run of MLflow's as a value."""
    return TrackedRun(
        id=found.info.run_id,
        name=found.info.run_name or found.info.run_id,
        status=found.info.status,
        started_ms=found.info.start_time,
        ended_ms=found.info.end_time or None,
        parameters=dict(found.data.params),
        metrics=dict(found.data.metrics),
        tags=dict(found.data.tags),
    )


def every(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """What a search of MLflow's finds on all of its pages.

    Args:
        search: Asks for the page that a token names; None names the first.
    """
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return
