"""Who is on trial now, as the experiment file says it, else the judge, and what the judge says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec

from bentos.errors import GauntletError, NotFound, Unavailable
from service.console.sources import Sources
from service.prediction_log.records import Mode
from service.scoring.experiment import Experiment
from service.scoring.places import ExperimentFile
from validation.judge.status import Status

BY_FILE, BY_JUDGE = "the experiment file", "the judge"


@dataclass(frozen=True)
class Running:
    """One revision of an experiment, asked as `OnTrial` is.

    Attributes:
        id: What evidence is keyed by.
        champion: Digest.
        challenger: Digest; None where nobody is named.
        mode: `off`, `shadow` or `split`.
        split: The challenger's share.
        revision: Of the file.
        no_treatment: Share of customers from whom actions are withheld.
        effective_from: From when it holds.
        said_by: Who says so.
    """

    id: str
    champion: str
    challenger: str | None
    mode: Mode
    split: float
    revision: int
    no_treatment: float
    effective_from: datetime
    said_by: str

    @property
    def is_on(self) -> bool:
        """Whether somebody is on trial."""
        return self.mode != "off" and self.challenger is not None

    @property
    def phase(self) -> str:
        """Mode and split in words."""
        return say_phase(self.mode, self.split)


def say_phase(mode: str, split: float) -> str:
    """A phase in words.

    >>> say_phase("shadow", 0.0), say_phase("split", 0.25)
    ('shadow', 'split 25 %')
    """
    return f"split {100 * split:g} %" if mode == "split" else mode


def read_running(sources: Sources) -> tuple[Running, ...]:
    """Everyone on trial now, the first one first; the champion alone where nobody is.

    Raises:
        NotFound: There is no experiment file here, and no judge that says anything.
        InvalidExperiment: The file cannot be read.
    """
    try:
        experiment = ExperimentFile(sources.folder.experiment).read()
    except NotFound as e:
        try:
            status = ask_judge(sources)
        except GauntletError as other:
            raise NotFound(f"nobody says who is on trial: {e}; {other}") from other
        return tuple(_of_status(one) for one in (status, *status.further))
    return tuple(_of_file(trial) for trial in experiment.trials)


def ask_judge(sources: Sources) -> Status:
    """What the judge says, by way of the service.

    Raises:
        Unavailable: One of them does not answer.
        Refused: The console may not ask.
        NotFound: The service has no such route.
    """
    said = sources.service.get("/v1/experiment").get("judge")
    if not isinstance(said, dict) or said.get("status") == "unavailable":
        why = said.get("reason") if isinstance(said, dict) else None
        raise Unavailable(f"the service answers, and the judge does not: {why or 'no reason is given'}")
    try:
        return msgspec.convert(said, type=Status)
    except msgspec.ValidationError as e:
        raise Unavailable(f"the judge answers something else than an experiment: {e}") from e


def _of_file(trial: Experiment) -> Running:
    return Running(
        id=trial.id,
        champion=trial.champion,
        challenger=trial.challenger,
        mode=trial.mode,
        split=trial.split,
        revision=trial.revision,
        no_treatment=trial.no_treatment,
        effective_from=trial.effective_from,
        said_by=BY_FILE,
    )


def _of_status(status: Status) -> Running:
    return Running(
        id=status.experiment,
        champion=status.champion,
        challenger=status.challenger,
        mode=status.mode,
        split=status.split,
        revision=status.revision,
        no_treatment=status.verdict.no_treatment,
        effective_from=status.effective_from,
        said_by=BY_JUDGE,
    )
