"""Following the experiment file: reread when it changes, switched at its instant, and the last good one kept."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bentos.artifact import Scope, write_beside
from bentos.errors import GauntletError, InvalidExperiment, NotFound, Unavailable
from service.micros import from_micros, to_micros
from service.scoring.deciding import Roles, Trial
from service.scoring.experiment import Experiment, Phase, parse_experiment, read_content, read_experiment
from service.scoring.models import Model
from service.stamps import Stamp, stamp_of

logger = logging.getLogger("gauntlet.experiment")

_MOST_KNOWN = 50


def built_in_roles(champion: Model) -> Roles:
    """The roles of a Bento that is served without an experiment file: its champion alone, as revision 0."""
    phase = Phase(
        revision=0,
        effective_from=datetime.fromtimestamp(0, tz=UTC),
        mode="off",
        champion=champion.digest,
        salt="built-in",
    )
    return resolve_roles(phase, {champion.digest: champion})


def resolve_roles(
    phase: Phase, models: Mapping[str, Model], *, without_challengers: bool = False, left_out: Collection[str] = ()
) -> Roles:
    """The models that a phase of an experiment names; without any of its challengers, mode `off`.

    Args:
        phase: What holds from its instant on.
        models: What the Bento carries, by digest.
        without_challengers: Leave challengers out although they are there.
        left_out: Digests of models that must not be on trial although they are there.

    Raises:
        NotFound: The champion is not among the models.
    """
    champion = models.get(phase.champion)
    if champion is None:
        there = ", ".join(f"{model.identity} ({digest})" for digest, model in models.items())
        raise NotFound(f"champion {phase.champion} is not in this Bento; it carries {there}")
    wanted = () if phase.mode == "off" or without_challengers else phase.challengers
    there_now = {digest: model for digest, model in models.items() if digest not in left_out}
    trials = tuple(Trial(phase.experiment_id(digest), there_now.get(digest), split) for digest, split in wanted)
    if all(trial.model is None for trial in trials):
        trials = ()
    return Roles(
        experiment=phase.id,
        revision=phase.revision,
        effective_from=to_micros(phase.effective_from),
        mode=phase.mode if trials else "off",
        salt=phase.salt,
        champion=champion,
        trials=trials,
        sample=phase.sample,
        holdout=phase.holdout,
        no_treatment=phase.no_treatment,
        population_salt=phase.population_salt,
        pins={customer: pin.variant for pin in phase.pins for customer in pin.customers},
        pin_by_header=phase.pin_by_header,
    )


class ExperimentWatch:
    """The roles as they hold at each instant, from a file that may change at any time.

    Attributes:
        is_file_valid: Whether the file, as it is now, can be served by.
        is_champion_present: Whether the Bento carries the champion that it names.
        is_challenger_present: Whether the Bento carries every challenger that it puts on trial.
    """

    def __init__(
        self,
        path: Path | None,
        models: Mapping[str, Model],
        built_in: Model,
        *,
        without_challengers: bool = False,
        scopes: Mapping[str, Scope] | None = None,
        kept: Path | None = None,
    ) -> None:
        """Take up what is kept, if anything is; the file itself is read by `poll`.

        Args:
            path: The experiment file; None: the Bento's own champion serves.
            models: What the Bento carries, by digest.
            built_in: The Bento's own champion.
            without_challengers: Leave challengers out although they are there.
            scopes: How far each model's blessing reaches, by digest; one that is not named may be given a split.
            kept: Where what is served by is kept over this process's end, for the one that is started in its place: it
                must not take up a file that its siblings have refused. None: nowhere.
        """
        self.is_file_valid = True
        self.is_champion_present = True
        self.is_challenger_present = True
        self._path = path
        self._models = models
        self._without_challengers = without_challengers
        self._scopes = scopes or {}
        self._left_out: Mapping[str, str] = {}
        # By rising instant; those that were replaced before they began are not in it.
        self._timeline: list[Roles] = [built_in_roles(built_in)] if path is None else []
        self._active: Roles | None = self._timeline[0] if path is None else None
        self._next_instant: int | None = None
        self._read_last: Experiment | None = None
        self._reason: str | None = None
        self._stamp: Stamp | None = None
        self._has_read = False
        self._kept = kept
        if kept is not None and path is not None:
            self._take_up_kept(kept)

    def poll(self) -> None:
        """Reread the file if it changed; never raises."""
        if self._path is None:
            return
        stamp = stamp_of(self._path)
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
        if self._next_instant is not None and self._next_instant <= now:
            self._switch(now)
        if self._active is None:
            raise Unavailable(f"not ready to score: {self.not_ready(now)}")
        return self._active

    def roles_at(self, moment: int, now: int) -> Roles:
        """Who played which role at an earlier moment, so far back as the file's history goes; else who does now.

        Raises:
            Unavailable: As `roles`.
        """
        roles = self.roles(now)
        if moment >= roles.effective_from:
            return roles
        return next((past for past in reversed(self._timeline) if past.effective_from <= moment), roles)

    def active(self, now: int) -> Roles | None:
        """As `roles`, with None where there are none."""
        try:
            return self.roles(now)
        except Unavailable:
            return None

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Let some models be on trial no more, from now on and in every phase that is known; as champion one reigns on.

        Args:
            reasons: Everyone who must not be, by digest, and why. Who was in it before and is not any more may be on
                trial again once the file was read again, which the next `poll` does.
        """
        if self._left_out.keys() - reasons.keys():
            self._has_read = False
        self._left_out = dict(reasons)
        self._timeline = [_without(roles, self._left_out) for roles in self._timeline]
        if self._active is not None:
            self._active = _without(self._active, self._left_out)

    def why_left_out(self, model: Model, now: int) -> str | None:
        """Why a model is not to be asked at all, although it is here; None where it may be. A champion always may.

        Raises:
            Unavailable: As `roles`.
        """
        if model.digest == self.roles(now).champion.digest:
            return None
        if self._without_challengers:
            return "every challenger is after a worker died twice within a minute"
        return self._left_out.get(model.digest)

    def not_ready(self, now: int) -> str | None:
        """Why this process should get no requests; None where it should.

        One that serves already goes on by the last good roles, whatever the file says next.
        """
        if self._next_instant is not None and self._next_instant <= now:
            self._switch(now)
        if self._active is not None:
            return None
        if self._timeline:
            first = self._timeline[0]
            instant = from_micros(first.effective_from).isoformat()
            return f"revision {first.revision} of the experiment file takes effect at {instant}"
        return self._reason or "the experiment file was not read yet"

    def _read(self, path: Path) -> None:
        try:
            content = read_content(path)
            experiment = parse_experiment(content, str(path))
            self._check_order(path, experiment)
            self._check_scopes(path, experiment)
        except (GauntletError, OSError) as e:
            self.is_file_valid = False
            self._complain("experiment_file_invalid", f"{e}")
            return
        except Exception as e:  # whatever a file may hold: the last good one is kept, and it is said
            self.is_file_valid = False
            self._complain("experiment_file_invalid", f"{path} cannot be read: {type(e).__name__}: {e!r:.200}")
            return
        self.is_file_valid = True
        try:
            roles = self._resolve(experiment)
        except NotFound as e:
            self.is_champion_present = False
            self._complain("experiment_champion_missing", f"{path}: {e}")
            return
        self.is_champion_present, self._reason = True, None
        self._take_up(experiment, roles)
        self._keep(content)
        logger.info("experiment_read", extra={"revision": roles.revision, "mode": roles.mode, "split": roles.split})

    def _take_up(self, experiment: Experiment, roles: Roles) -> None:
        self._read_last = experiment  # what nobody was served by may be replaced by anything
        self._look_for_challengers(experiment)
        self._schedule([*self._resolvable(experiment.history), roles])

    def _take_up_kept(self, kept: Path) -> None:
        """Go on by what the others serve by, if this Bento has its champion."""
        try:
            experiment = read_experiment(kept)
            self._take_up(experiment, self._resolve(experiment))
        except NotFound:  # nobody was served yet, or it is another Bento's
            return
        except Exception as e:  # whatever it holds: the file itself is there to start from
            logger.warning("kept_experiment_unreadable", extra={"reason": f"{type(e).__name__}: {e}"})

    def _keep(self, content: bytes) -> None:
        """As it was read: to write 60,000 pins anew takes a second, and may make more bytes than are read."""
        if self._kept is None:
            return
        try:
            write_beside(self._kept, content)
        except OSError as e:  # it costs nothing but that a restart takes the file as it is
            logger.warning("experiment_not_kept", extra={"reason": str(e)})

    def _check_order(self, path: Path, experiment: Experiment) -> None:
        """One number must not stand for two contents: evidence is kept by revision."""
        last = self._read_last
        if last is not None and experiment.revision <= last.revision and experiment != last:
            raise InvalidExperiment(
                f"{path}: revision is {experiment.revision}; it must be above {last.revision}, "
                "which was read before with another content"
            )

    def _check_scopes(self, path: Path, experiment: Experiment) -> None:
        """Nobody's answer is returned to customers on a blessing that reaches the shadow only."""
        for digest, split in experiment.challengers if experiment.mode == "split" else ():
            if split > 0 and self._scopes.get(digest) == "shadow":
                name = self._models[digest].identity if digest in self._models else digest
                raise InvalidExperiment(
                    f"{path}: split is {split:g} for {name}, which is blessed for the shadow only; it must be 0"
                )

    def _resolve(self, phase: Phase) -> Roles:
        return resolve_roles(
            phase, self._models, without_challengers=self._without_challengers, left_out=self._left_out
        )

    def _resolvable(self, phases: Sequence[Phase]) -> list[Roles]:
        """Past phases that this Bento has the champion of; nobody needs to hear of the others."""
        return [self._resolve(phase) for phase in phases if phase.champion in self._models]

    def _look_for_challengers(self, experiment: Experiment) -> None:
        wanted = () if experiment.mode == "off" else experiment.challengers
        missing = [digest for digest, _ in wanted if digest not in self._models]
        self.is_challenger_present = not missing
        for digest in missing:
            logger.warning("experiment_challenger_missing", extra={"challenger": digest})

    def _complain(self, event: str, reason: str) -> None:
        if reason != self._reason:
            logger.error(event, extra={"reason": reason})
        self._reason = reason

    def _schedule(self, phases: Sequence[Roles]) -> None:
        """A file stands for everything from its phases' first instant on; what took effect before stays known."""
        since = phases[0].effective_from
        known = [past for past in self._timeline if past.effective_from < since]
        self._timeline = [*known[-_MOST_KNOWN:], *sorted(phases, key=lambda roles: roles.effective_from)]
        self._next_instant = self._timeline[0].effective_from  # whoever asks next finds out who holds now

    def _switch(self, now: int) -> None:
        due = [roles for roles in self._timeline if roles.effective_from <= now]
        later = [roles for roles in self._timeline if roles.effective_from > now]
        self._next_instant = later[0].effective_from if later else None
        if not due or due[-1] == self._active:
            return
        self._active = active = due[-1]
        challengers = ", ".join(str(model.identity) for model in active.challengers)
        logger.info(
            "experiment_switched",
            extra={
                "revision": active.revision,
                "mode": active.mode,
                "split": active.split,
                "champion": str(active.champion.identity),
                "challenger": challengers or None,
            },
        )


def _without(roles: Roles, left_out: Collection[str]) -> Roles:
    """The same roles with some models on trial no more; mode `off` where nobody is left."""
    trials = tuple(
        replace(trial, model=None) if trial.model is not None and trial.model.digest in left_out else trial
        for trial in roles.trials
    )
    if trials == roles.trials:
        return roles
    if all(trial.model is None for trial in trials):
        return replace(roles, trials=(), mode="off")
    return replace(roles, trials=trials)
