"""One run at the tracking server: opened, told everything, and closed as FINISHED or FAILED."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bentos.errors import GauntletError, Unavailable
from bentos.registry import Registry

_LONGEST_PARAMETER = 500


class Run:
    """A run that is open.

    Attributes:
        id: Its MLflow id.
    """

    def __init__(self, registry: Registry, run_id: str) -> None:
        self.id = run_id
        self._client = registry.client

    def log(self, *, parameters: Mapping[str, Any], metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
        """Keep parameters, metrics and tags, in one request."""
        from mlflow.entities import Metric, Param, RunTag

        now = int(time.time() * 1000)
        with _translated():
            self._client.log_batch(
                self.id,
                metrics=[Metric(name, value, now, 0) for name, value in metrics.items()],
                params=[Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in parameters.items()],
                tags=[RunTag(name, value) for name, value in tags.items()],
            )

    def log_folder(self, folder: Path) -> None:
        """Keep everything in a folder, under the names it has there."""
        with _translated():
            self._client.log_artifacts(self.id, str(folder))

    def close(self, status: str) -> None:
        """End it, as FINISHED or FAILED."""
        with _translated():
            self._client.set_terminated(self.id, status)


@contextmanager
def open_run(registry: Registry, *, experiment: str, name: str, tags: Mapping[str, str]) -> Iterator[Run]:
    """Track what happens inside: FINISHED if it succeeds, FAILED if it raises.

    Raises:
        Unavailable: The tracking server does not answer.
    """
    experiment_id = registry.experiment(experiment)
    with _translated():
        made = registry.client.create_run(experiment_id, tags=dict(tags), run_name=name)
    run = Run(registry, made.info.run_id)
    try:
        yield run
    except BaseException:
        with suppress(GauntletError):  # what went wrong first is what is told
            run.close("FAILED")
        raise
    run.close("FINISHED")


@contextmanager
def _translated() -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as e:
        text = str(e).strip().splitlines()
        raise Unavailable(f"the tracking server does not keep the run: {text[0][:200] if text else e!r}") from e
