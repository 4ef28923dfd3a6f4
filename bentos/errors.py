"""The errors of Gauntlet: one tree, and no web framework, database or registry in it.

Adapters translate what their libraries raise into one of these and chain the original (`raise … from e`). Exit codes
(`gauntlet.py`) and HTTP status codes (`service/http/problems.py`) are given to them at the edge.

* GauntletError
  - BadInput                 what a person or a client sent is not allowed
    + InvalidContract        a use case or contract that contradicts itself
    + InvalidData            a data file that the use case does not allow
    + InvalidFeatures        one row to be scored that the contract does not allow
    + InvalidRequest         a request whose fields are not what its route allows
    + InvalidPolicy          a policy that cannot be judged by
    + InvalidExperiment      an experiment file that cannot be served by
    + InvalidSetting         a flag or an environment variable
    + NotFound               a model, file or folder that is not there
  - Refused                  the thing is there, and must not be used
    + InUse                  somebody else works on it now
    + ArtifactDamaged        bytes that differ from the manifest
    + NotBlessed             no blessing, or one that does not hold for this artifact
    + NotConvertible         an estimator whose ONNX form answers differently
    + NotExplained           an explanation that does not add up to the model's answer
    + NotAllowedByVerdict    a promotion or rollback that the evidence does not allow
  - Unavailable              something outside does not answer: tracking server, store, port, download
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class GauntletError(Exception):
    """Anything that Gauntlet reports to a person in one sentence."""


class BadInput(GauntletError):
    """What a person or a client sent is not allowed; the message names it and says what is."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a value: where it stands, what it is, and what is allowed there.

    Attributes:
        field: The column, feature or key; nested keys are joined with dots.
        value: What was found, as text cut to 80 characters.
        allowed: What would have been accepted, to be read after "must be".
        row: The row in a file or batch, counted from 0; None where there is only one.
    """

    field: str
    value: str
    allowed: str
    row: int | None = None

    def __str__(self) -> str:
        place = self.field if self.row is None else f"row {self.row}, {self.field}"
        if self.value == "missing":
            return f"{place} is missing; it must be {self.allowed}"
        return f"{place}: {self.value} is not allowed; it must be {self.allowed}"


def shown(value: object) -> str:
    """The value as it stands in an error message: quoted where it is text, and never longer than 80 characters."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


PROBLEMS_SHOWN = 20
"""How many problems a message spells out: a screenful. The error carries them all."""


class WithProblems(BadInput):
    """Bad input that carries every problem found, not only the first."""

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        self.what = what
        self.problems = tuple(problems)
        listed = "; ".join(str(problem) for problem in self.problems[:PROBLEMS_SHOWN])
        more = len(self.problems) - PROBLEMS_SHOWN
        super().__init__(f"{what}: {listed}" + (f"; and {more:,} more" if more > 0 else ""))


class InvalidContract(BadInput):
    """A use case or contract contradicts itself or lacks something."""


class InvalidData(WithProblems):
    """A data file holds what the use case does not allow."""


class InvalidFeatures(WithProblems):
    """A row to be scored holds what the contract does not allow."""


class InvalidRequest(WithProblems):
    """A request holds what its route does not allow."""


class InvalidPolicy(BadInput):
    """A policy cannot be judged by."""


class InvalidExperiment(BadInput):
    """An experiment file cannot be served by."""


class InvalidSetting(BadInput):
    """A flag or an environment variable holds what is not allowed."""


class NotFound(BadInput):
    """A model, a file or a folder that was named is not there."""


class Refused(GauntletError):
    """The thing is there, and must not be used."""


class InUse(Refused):
    """Somebody else works on it now; later it may be free."""


class ArtifactDamaged(Refused):
    """An artifact's bytes differ from its manifest; the message names the file."""


class NotBlessed(Refused):
    """No blessing, or one that does not hold for this artifact, scope or day."""


class NotConvertible(Refused):
    """An estimator's ONNX form does not give the answers that the estimator gives."""


class NotExplained(Refused):
    """An explanation does not add up to what its model answers."""


class NotAllowedByVerdict(Refused):
    """The evidence does not allow this promotion or rollback."""


class Unavailable(GauntletError):
    """Something outside does not answer."""
