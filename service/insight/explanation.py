"""One model's explanations: from an encoded row to the numbers and words that `/v1/explain` answers. No I/O."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bentos.artifact import Contract, Encoder, Reference
from bentos.errors import BadInput
from service.insight.explainers import TOLERANCE, Method, Space, explain, make_explainer
from service.insight.folding import read_features, scored_values
from service.insight.reasons import Reason, make_reasons, say_plainly, say_summary


class SumCheck(msgspec.Struct, frozen=True, kw_only=True):
    """That base value and contributions come to the model's own answer; without that there is no explanation.

    Attributes:
        sum: Base value and all contributions.
        output: What the model itself answers, in the explanation's space.
        difference: By how much the two differ.
        tolerance: By how much they may.
    """

    sum: float
    output: float
    difference: float
    tolerance: float = TOLERANCE


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row is scored as it is.

    Attributes:
        probability: Of the positive label, in [0, 1].
        label: The label at the model's cut.
        risk: The risk band.
        method: `tree` and `linear` are exact; `permutation` is an average over a number of orders.
        space: What base value and contributions are measured in: `probability` or `log_odds`.
        base_value: What the model answers before it knows a feature.
        contributions: What each feature adds, in the contract's order.
        check: The sum, held against the model's answer.
        summary: The answer in words, in the explanation's space.
        plain: The answer for a reader who knows no statistics.
        reasons: One for each feature, the largest first.
    """

    probability: float
    label: str
    risk: str
    method: Method
    space: Space
    base_value: float
    contributions: dict[str, float]
    check: SumCheck
    summary: str
    plain: str
    reasons: list[Reason]


class ExplainedModel:
    """A model that is ready to explain rows."""

    def __init__(self, pipeline: Any, contract: Contract, reference: Reference) -> None:
        """Make its explainer, which takes a moment for a large forest.

        Args:
            pipeline: As `estimator.skops` holds it.
            contract: Of the model.
            reference: How its features were distributed.
        """
        self._contract = contract
        self._encoder = Encoder(contract)
        self._explainer = make_explainer(pipeline, contract, reference)
        self._read = read_features(contract, self._encoder, self._explainer.columns)

    def explain(self, row: NDArray[np.float32]) -> Explanation:
        """Explain an encoded row.

        Args:
            row: Shape (width,).

        Raises:
            NotExplained: The explanation does not add up.
            BadInput: The row is none of this contract.
        """
        if row.shape != (self._encoder.width,):
            raise BadInput(f"a row has {self._encoder.width} columns, and this one {row.size} columns")
        contract, space = self._contract, self._explainer.space
        found = explain(self._explainer, row[None])
        reasons = make_reasons(contract, scored_values(contract, self._encoder, row), found, space, self._read)
        total = found.base_value + float(found.contributions.sum())
        return Explanation(
            probability=found.probability,
            label=contract.label(found.probability),
            risk=contract.risk(found.probability),
            method=self._explainer.method,
            space=space,
            base_value=found.base_value,
            contributions=dict(zip(self._encoder.spans, found.contributions.tolist(), strict=True)),
            check=SumCheck(sum=total, output=found.output, difference=found.difference),
            summary=say_summary(contract, found, space, reasons),
            plain=say_plainly(contract, found, space, reasons),
            reasons=reasons,
        )
