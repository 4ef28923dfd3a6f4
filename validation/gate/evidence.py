"""What a gate judges: the holdout's rows and truths, and the models' answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Reference, TrainingRecord, Value
from validation.gate.metrics import Answered, BoolArray, FloatArray

Rows = NDArray[np.float32]
"""Encoded rows, shape (n_rows, width)."""

Score = Callable[[Rows], NDArray[np.float32]]
"""Gives each row's probability of the positive class, shape (n_rows,)."""


@dataclass(frozen=True)
class Facts:
    """What an artifact says of its model, beside its answers.

    Attributes:
        reference: How features and score were distributed in training.
        training: Where the model comes from.
        model_bytes: Size of `model.onnx`.
        artifact_bytes: Size of all of the artifact's files.
        estimate: The probabilities that `estimator.skops` gives for encoded rows; it is loaded when it is asked, and
            raises if it cannot be.
    """

    reference: Reference
    training: TrainingRecord
    model_bytes: int
    artifact_bytes: int
    estimate: Callable[[Rows], FloatArray]


@dataclass(frozen=True)
class Subject:
    """A model under judgement: what it answers.

    Attributes:
        role: "candidate" or "champion", for messages.
        score: Its probabilities for rows.
        cut: Probability from which it answers positive.
        rows: The holdout's rows.
        facts: What its artifact says of it.
    """

    role: str
    score: Score
    cut: float
    rows: Rows
    facts: Facts

    @cached_property
    def probabilities(self) -> FloatArray:
        """What it says of the holdout, shape (n_rows,); raises ValueError if that is no probability."""
        return self.probabilities_of(self.rows)

    @cached_property
    def positives(self) -> BoolArray:
        """Which rows of the holdout it answers positive, shape (n_rows,)."""
        return self.probabilities >= self.cut

    def probabilities_of(self, rows: Rows) -> FloatArray:
        """What it says of any rows.

        Raises:
            ValueError: An answer is no probability.
        """
        # The service compares in double precision too; in float32 the cut itself would be rounded.
        probabilities = self.score(rows).astype(np.float64)
        wrong = int(np.count_nonzero(~((probabilities >= 0) & (probabilities <= 1))))  # NaN is neither
        if probabilities.shape != (len(rows),):
            raise ValueError(f"the {self.role} gives {probabilities.shape} numbers for {len(rows)} rows")
        if wrong:
            raise ValueError(f"the {self.role} gives no probability in [0, 1] for {wrong} of {len(rows)} rows")
        return probabilities

    def is_right_on(self, rows: Rows, truth: BoolArray) -> BoolArray:
        """Which of any rows it answers right, shape (n_rows,)."""
        return np.equal(self.probabilities_of(rows) >= self.cut, truth)


@dataclass(frozen=True)
class Number:
    """A numeric feature in the encoded rows.

    Attributes:
        name: The feature's name.
        column: Where its value stands.
        missing_column: Where it says that the value is missing; None where it cannot be.
        deviation: Its standard deviation in training; None where the reference has none.
        minimum: Smallest value that the contract allows.
        maximum: Largest.
    """

    name: str
    column: int
    missing_column: int | None
    deviation: float | None
    minimum: float
    maximum: float


@dataclass(frozen=True)
class Evidence:
    """What all checks are judged on.

    Attributes:
        contract: What both models are asked.
        columns: For every feature its values in the holdout, None where missing, each of length n_rows.
        truth: Whether each row of the holdout is positive, shape (n_rows,).
        rows: The holdout's rows, encoded, shape (n_rows, width).
        candidate: Who is judged.
        champion: Who it is compared with, on the same rows.
        groups: For each protected attribute of the contract the group of each row.
        numbers: The numeric features, to which noise is added.
        seed: Of everything random.
    """

    contract: Contract
    columns: Mapping[str, Sequence[Value]]
    truth: BoolArray
    rows: Rows
    candidate: Subject
    champion: Subject | None
    groups: Mapping[str, tuple[str, ...]]
    numbers: tuple[Number, ...]
    seed: int

    @cached_property
    def encoder(self) -> Encoder:
        """What encodes rows for both models; for checks that change columns and encode them again."""
        return Encoder(self.contract)

    @property
    def subjects(self) -> tuple[Subject, ...]:
        """The candidate, and the champion where there is one."""
        return (self.candidate, self.champion) if self.champion else (self.candidate,)

    def answered(self, subject: Subject) -> Answered:
        """What a model answered to the holdout."""
        return Answered(self.truth, subject.probabilities, subject.positives, self.contract.false_positive_cost)

    @property
    def discordant(self) -> tuple[int, int, int]:
        """Rows that the candidate alone is right on, rows that the champion alone is right on, and all rows.

        Raises:
            ValueError: There is no champion.
        """
        if self.champion is None:
            raise ValueError("there is no champion to compare with")
        candidate, champion = (subject.positives == self.truth for subject in (self.candidate, self.champion))
        return int((candidate & ~champion).sum()), int((champion & ~candidate).sum()), self.truth.size

    def groups_of(self, attribute: str) -> tuple[str, ...]:
        """The group of each row by a protected attribute.

        Raises:
            ValueError: The contract does not protect it.
        """
        if attribute not in self.groups:
            protected = ", ".join(self.groups) or "nothing"
            other = "" if self.groups else ", such as no-protected-attributes.yaml"
            raise ValueError(
                f"the policy limits the gap of {attribute}, and the contract protects {protected}; "
                f"name it under protected in the use case, or choose a policy that does not ask for it{other}"
            )
        return self.groups[attribute]
