"""Following the experiment file: reread when it changes, switched at its instant, and the last good one kept."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from bentos.errors import GauntletError, NotFound, Unavailable
from service.experiment import Experiment, read_experiment
from service.models import Model
from service.scoring import Roles

logger = logging.getLogger("gauntlet.experiment")

Stamp = tuple[int, int, int]


def built_in_roles(champion: Model) -> Roles:
    """The roles of a Bento that is served without an experiment file: its champion alone, as revision 0."""
    experiment = Experiment(
        revision=0,
        effective_from=datetime.fromtimestamp(0, tz=UTC),
        mode="off",
        champion=champion.digest,
        salt="built-in",
    )
    return resolve_roles(experiment, {champion.digest: champion})


def resolve_roles(experiment: Experiment, models: Mapping[str, Model]) -> Roles:
    """The models that an experiment names; without its challenger, mode `off`.

    Raises:
        NotFound: The champion is not among the models.
    """
    champion = models.get(experiment.champion)
    if champion is None:
        there = ", ".join(f"{model.identity} ({digest})" for digest, model in models.items())
        raise NotFound(f"champion {experiment.champion} is not in this Bento; it carries {there}")
    challenger = None if experiment.mode == "off" else models.get(experiment.challenger or "")
    return Roles(
        experiment=experiment.id,
        revision=experiment.revision,
        effective_from=round(experiment.effective_from.timestamp() * 1_000_000),
        mode="off" if challenger is None else experiment.mode,
        split=0.0 if challenger is None else experiment.split,
        salt=experiment.salt,
        champion=champion,
        challenger=challenger,
    )


class ExperimentWatch:
    """The roles as they hold now, from a file that may change at any time.

    Attributes:
        is_file_valid: Whether the file, as it is now, can be read.
        is_champion_present: Whether the Bento carries the champion that it names.
        is_challenger_present: Whether the Bento carries the challenger that it names, if it puts one on trial.
    """

    def __init__(self, path: Path | None, models: Mapping[str, Model], built_in: Model) -> None:
        self.is_file_valid = True
        self.is_champion_present = True
        self.is_challenger_present = True
        self._path = path
        self._models = models
        self._active: Roles | None = built_in_roles(built_in) if path is None else None
        self._pending: list[Roles] = []
        self._reason: str | None = None
        self._stamp: Stamp | None = None
        self._has_read = False

    def poll(self) -> None:
        """Reread the file if it changed; never raises."""
        if self._path is None:
            return
        stamp = _stamp(self._path)
        if self._has_read and stamp == self._stamp:
            return
        self._has_read, self._stamp = True, stamp
        self._read(self._path)

    def roles(self, now: int) -> Roles:
        """Who plays which role at an instant.

        Args:
            now: In microseconds since 1970 UTC; it must not go back further than a replica's clock does.

        Raises:
            Unavailable: No experiment file was valid yet, or its first instant is still to come.
        """
        if self._pending and self._pending[0].effective_from <= now:
            self._switch(now)
        if self._active is None:
            raise Unavailable(f"not ready to score: {self.not_ready(now)}")
        return self._active

    def active(self, now: int) -> Roles | None:
        """As `roles`, with None where there are none."""
        try:
            return self.roles(now)
        except Unavailable:
            return None

    def not_ready(self, now: int) -> str | None:
        """Why this process should get no requests; None where it should."""
        if self._pending and self._pending[0].effective_from <= now:
            self._switch(now)
        if self._active is None and self._pending:
            first = self._pending[0]
            instant = datetime.fromtimestamp(first.effective_from / 1_000_000, tz=UTC).isoformat()
            return f"revision {first.revision} of the experiment file takes effect at {instant}"
        if self._active is None or not self.is_champion_present:
            return self._reason or "the experiment file was not read yet"
        return None

    def _read(self, path: Path) -> None:
        try:
            experiment = read_experiment(path)
        except (GauntletError, OSError) as e:
            self.is_file_valid = False
            self._complain("experiment_file_invalid", f"{e}")
            return
        self.is_file_valid = True
        try:
            roles = resolve_roles(experiment, self._models)
        except NotFound as e:
            self.is_champion_present = False
            self._complain("experiment_champion_missing", f"{path}: {e}")
            return
        self.is_champion_present, self._reason = True, None
        self.is_challenger_present = experiment.mode == "off" or roles.challenger is not None
        if not self.is_challenger_present:
            logger.warning("experiment_challenger_missing", extra={"challenger": experiment.challenger})
        self._schedule(roles)

    def _complain(self, event: str, reason: str) -> None:
        if reason != self._reason:
            logger.error(event, extra={"reason": reason})
        self._reason = reason

    def _schedule(self, roles: Roles) -> None:
        """A file stands for everything from its instant on; what takes effect before stays scheduled."""
        self._pending = [p for p in self._pending if p.effective_from < roles.effective_from]
        self._pending.append(roles)
        logger.info("experiment_read", extra={"revision": roles.revision, "mode": roles.mode, "split": roles.split})

    def _switch(self, now: int) -> None:
        due = [roles for roles in self._pending if roles.effective_from <= now]
        self._active = due[-1]
        self._pending = [roles for roles in self._pending if roles.effective_from > now]
        active = self._active
        logger.info(
            "experiment_switched",
            extra={
                "revision": active.revision,
                "mode": active.mode,
                "split": active.split,
                "champion": str(active.champion.identity),
                "challenger": str(active.challenger.identity) if active.challenger else None,
            },
        )


def _stamp(path: Path) -> Stamp | None:
    """What changes with a file's content: a ConfigMap's swap of links changes the inode behind the path."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
