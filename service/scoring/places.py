"""Where the experiment stands, for who changes it: a file here, a ConfigMap on a cluster (`k8s.experiment_map`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from bentos.errors import Unavailable
from service.scoring.experiment import LEAD, Experiment, changing, read_experiment, write_experiment


class ExperimentPlace(Protocol):
    """What holds the experiment."""

    @property
    def lead(self) -> timedelta:
        """From writing a revision to its taking effect: everyone who serves by it has read it by then."""

    def read(self) -> Experiment:
        """The experiment as it stands.

        Raises:
            NotFound: There is none.
            InvalidExperiment: It cannot be read.
            Unavailable: The place does not answer.
        """

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep others out, as far as the place can, while the old revision is read and the new one written."""

    def write(self, after: Experiment) -> None:
        """Put the next revision in the place of the one that was read last.

        Raises:
            Unavailable: It cannot be written, or somebody else changed it meanwhile; it stands as it was.
        """

    def wait(self, revision: int) -> str | None:
        """Wait until whoever serves by it follows a revision; what to say of it, if anything.

        Raises:
            InvalidExperiment: One who serves by it refuses it.
            Unavailable: One who serves by it did not follow in time.
        """


@dataclass(frozen=True)
class ExperimentFile:
    """The experiment file of an installation on one machine."""

    path: Path

    @property
    def lead(self) -> timedelta:
        """What workers on this machine need."""
        return LEAD

    def read(self) -> Experiment:
        """The file as it stands."""
        return read_experiment(self.path)

    @contextmanager
    def held(self) -> Iterator[None]:
        """By a lock on the file."""
        with changing(self.path):
            yield

    def write(self, after: Experiment) -> None:
        """The whole file or nothing."""
        try:
            write_experiment(self.path, after)
        except OSError as e:
            raise Unavailable(f"the experiment file {self.path} cannot be written: {e}") from e

    def wait(self, revision: int) -> None:
        """The service sees it within two seconds, and nobody waits."""
        del revision
