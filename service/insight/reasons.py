"""An explanation in words: what a customer's features are, and what each adds to the model's answer.

Every word comes from the contract and every number from the explanation. A sentence says what the model's sum does
with a value, and never why somebody acts as they do: contributions are arithmetic, not causes.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from bentos.artifact import Contract, Feature, Numeric
from service.insight.explainers import Explained, Space
from service.insight.folding import Scored

_NAMED = 3
"""So many features the summary names."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature adds.

    Attributes:
        feature: Its name.
        value: What was scored; None where it is missing.
        contribution: What it adds to the model's answer, in the explanation's space; negative where it takes away.
        is_read: Whether the model reads it at all.
        is_protected: Whether fairness is judged by its groups: no ground to treat a customer differently.
        sentence: The same in words.
    """

    feature: str
    value: Scored
    contribution: float
    is_read: bool
    is_protected: bool
    sentence: str


def make_reasons(
    contract: Contract, values: Mapping[str, Scored], explained: Explained, space: Space, read: Mapping[str, bool]
) -> list[Reason]:
    """A reason for every feature, the largest first; of equal ones, as the contract orders them.

    Args:
        contract: Of the model.
        values: What was scored, by feature.
        explained: The numbers, in the contract's order.
        space: What they are measured in.
        read: Which features the model reads.
    """
    reasons = [
        Reason(
            feature=feature.name,
            value=values[feature.name],
            contribution=contribution,
            is_read=read[feature.name],
            is_protected=feature.name in contract.protected,
            sentence=say_reason(
                contract, feature, values[feature.name], contribution, space, is_read=read[feature.name]
            ),
        )
        for feature, contribution in zip(contract.features, explained.contributions.tolist(), strict=True)
    ]
    return sorted(reasons, key=lambda reason: -abs(reason.contribution))


def say_reason(
    contract: Contract, feature: Feature, value: Scored, contribution: float, space: Space, *, is_read: bool = True
) -> str:
    """One feature's contribution in a sentence, such as `tenure is 3 months: adds 0.52 to the log-odds of …`."""
    subject = f"{feature.name} is {say_value(feature, value)}"
    if feature.description:
        subject = f"{subject} ({feature.description})"
    if not is_read:
        return f"{subject}: this model does not read it."
    return f"{subject}: {_say_change(contribution, space)} the {_answer_of(contract, space)}."


def say_summary(contract: Contract, explained: Explained, space: Space, reasons: list[Reason]) -> str:
    """What the model answers, where it starts from, and what counts most, in two sentences.

    Args:
        contract: Of the model.
        explained: The numbers.
        space: What they are measured in.
        reasons: The largest first.
    """
    change = explained.output - explained.base_value
    verb = "are" if space == "log_odds" else "is"
    where = f"The {_answer_of(contract, space)} {verb} {_say_level(explained.output, space)}"
    if space == "log_odds":
        where = f"{where}, a probability of {explained.probability:.1%}"
    counting = [reason.feature for reason in reasons[:_NAMED] if not _is_small(reason.contribution, space)]
    most = f" What counts most: {', '.join(counting)}." if counting else ""
    start = _say_level(explained.base_value, space)
    return f"{where}. The model starts from {start}, and knowing every feature {_say_sum(change, space)}.{most}"


def say_value(feature: Feature, value: Scored) -> str:
    """A feature's value as people write it, with its unit.

    >>> say_value(Numeric(name="charges", minimum=0, maximum=1000, unit="USD"), 70.1)
    '70.1 USD'
    """
    if value is None:
        return "missing"
    if not isinstance(feature, Numeric) or isinstance(value, str):
        return f'"{value}"'
    number = np.format_float_positional(np.float32(value), trim="-")
    return f"{number} {feature.unit}".rstrip()


def _answer_of(contract: Contract, space: Space) -> str:
    named = "log-odds" if space == "log_odds" else "probability"
    return f'{named} of {contract.target} = "{contract.labels.positive}"'


def _say_sum(change: float, space: Space) -> str:
    return _say_change(change, space).rpartition(" ")[0]


def _say_change(contribution: float, space: Space) -> str:
    """What a contribution does, up to the word before what it does it to."""
    if contribution == 0:
        return "adds nothing to"
    verb, preposition = ("adds", "to") if contribution > 0 else ("takes", "from")
    less = "less than " if _is_small(contribution, space) else ""
    if space == "probability":
        size = 0.1 if less else abs(contribution) * 100
        return f"{verb} {less}{size:.1f} percentage points {preposition}"
    size = 0.01 if less else abs(contribution)
    return f"{verb} {less}{size:.2f} {preposition}"


def _is_small(contribution: float, space: Space) -> bool:
    """Whether it would be rounded to less than the last digit that is said."""
    return abs(contribution) < (0.001 if space == "probability" else 0.01)


def _say_level(level: float, space: Space) -> str:
    return f"{level:.1%}" if space == "probability" else f"{level:.2f}"
