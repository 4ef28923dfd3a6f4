"""Trials in words: what they are called, how they stand, how long something takes."""

from __future__ import annotations

from service.console.experiment.naming import Names
from service.console.experiment.reading import Trial
from service.micros import from_micros

_UNITS = (("year", 365 * 86_400), ("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
_VERDICTS = {
    "PROMOTE": "the challenger may be promoted",
    "ROLLBACK": "the challenger is to be rolled back",
    "KEEP_COLLECTING": "nothing is decided yet",
    "INVALID": "no decision may rest on this evidence",
}
_ENDINGS = {"promoted": "promoted", "rolled_back": "rolled back", "abandoned": "abandoned"}


def verdict_in_words(verdict: str) -> str:
    """A verdict as people say it."""
    return _VERDICTS[verdict]


def title_of(trial: Trial, names: Names) -> str:
    """A trial as a list of trials names it."""
    number = "Trial" if trial.number is None else f"Trial {trial.number}"
    began = "" if trial.began is None else f", since {from_micros(trial.began):%Y-%m-%d}"
    who = f"{names.of(trial.challenger)} against {names.of(trial.champion)}"
    return f"{number}: {who}{began}, {state_of(trial)}"


def state_of(trial: Trial) -> str:
    """How a trial stands, in a word or two."""
    if trial.ending is not None:
        return _ENDINGS.get(trial.ending, trial.ending)
    if trial.running is not None:
        return trial.running.phase if trial.is_on else "stopped"
    return "not in the experiment file any more"


def say_wait(micros: int) -> str:
    """A stretch of time as people say it, to two digits.

    >>> say_wait(0), say_wait(5_000_000), say_wait(93_600_000_000), say_wait(15_005_595_825_262)
    ('no time', 'about 5 seconds', 'about 26 hours', 'about 174 days')
    """
    seconds = micros / 1e6
    if seconds < 1:
        return "no time"
    for unit, length in _UNITS:
        if seconds >= 2 * length or length == 1:
            number = round(seconds / length)
            return f"about {number} {unit}{'' if number == 1 else 's'}"
    return "no time"
