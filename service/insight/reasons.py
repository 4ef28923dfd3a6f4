"""An explanation in words: what a customer's features are, and what each adds to the model's answer.

Every word comes from the contract, whose phrases name values as people do, and every number from the explanation. A
sentence says what the model's sum does
with a value, and never why somebody acts as they do: contributions are arithmetic, not causes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from bentos.artifact import PLACE, Contract, Feature, Numeric, phrase_of
from service.insight.explainers import Explained, Space
from service.insight.folding import Scored

_NAMED = 3
"""So many features a summary names, or names on either side."""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """What one feature adds.

    Attributes:
        feature: Its name.
        value: What was scored; None where it is missing.
        contribution: What it adds to the model's answer, in the explanation's space; negative where it takes away.
        is_read: Whether the model reads it at all.
        is_protected: Whether fairness is judged by its groups: no ground to treat a customer differently.
        is_actionable: Whether the company may change it.
        phrase: The value as people name it.
        sentence: What it adds, in words.
    """

    feature: str
    value: Scored
    contribution: float
    is_read: bool
    is_protected: bool
    is_actionable: bool
    phrase: str
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
            is_actionable=bool(feature.actionable),
            phrase=say_phrase(feature, values[feature.name]),
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
    """One feature's contribution in a sentence, such as `3 months with the company: adds 0.52 to the log-odds of …`."""
    subject = _capitalized(say_phrase(feature, value))
    if phrase_of(feature, value) is None:
        subject = f"{feature.name} is {say_value(feature, value)}"
        subject = f"{subject} ({feature.description})" if feature.description else subject
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
    counting = [reason.feature for reason in reasons[:_NAMED] if not is_small(reason.contribution, space)]
    most = f" What counts most: {', '.join(counting)}." if counting else ""
    start = _say_level(explained.base_value, space)
    return f"{where}. The model starts from {start}, and knowing every feature {_say_sum(change, space)}.{most}"


def say_plainly(contract: Contract, explained: Explained, space: Space, reasons: list[Reason]) -> str:
    """The answer for a reader who knows no statistics: how probable, and what moves it most in either direction.

    Percentage points can be added up and said of several features at once; log-odds are said as what they do to the
    odds, which they multiply.

    Args:
        contract: Of the model.
        explained: The numbers.
        space: What they are measured in.
        reasons: The largest first.
    """
    level = f'{explained.probability:.1%} for {contract.target} = "{contract.labels.positive}"'
    counting = [reason for reason in reasons if not is_small(reason.contribution, space)]
    sides = (
        ("Raising", [reason for reason in counting if reason.contribution > 0][:_NAMED]),
        ("Lowering", [reason for reason in counting if reason.contribution < 0][:_NAMED]),
    )
    moved = [f"{verb} it most: {_say_side(side, space)}." for verb, side in sides if side]
    moved = moved or ["No feature moves it."]
    answer = f"The model's probability is {level}; this risk is {contract.risk(explained.probability)}."
    return " ".join((answer, *moved, "These are shares of the model's sum, and no causes."))


def say_phrase(feature: Feature, value: Scored) -> str:
    """A value as people name it, by the contract's phrase; `tenure is 3 months` where it has none.

    >>> say_phrase(Numeric(name="tenure", minimum=0, maximum=9, phrases={"any": "{value} as a customer"}), 3)
    '3 as a customer'
    """
    phrase = phrase_of(feature, value)
    if phrase is None:
        return f"{feature.name} is {say_value(feature, value)}"
    return phrase.replace(PLACE, say_value(feature, value)) if isinstance(feature, Numeric) else phrase


def say_list(phrases: list[str]) -> str:
    """Phrases in a row.

    >>> say_list(["a", "b", "c"])
    'a, b and c'
    """
    *first, last = phrases
    return f"{', '.join(first)} and {last}" if first else last


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


def is_small(contribution: float, space: Space) -> bool:
    """Whether a contribution would be rounded to less than the last digit that is said."""
    return abs(contribution) < (0.001 if space == "probability" else 0.01)


def _answer_of(contract: Contract, space: Space) -> str:
    named = "log-odds" if space == "log_odds" else "probability"
    return f'{named} of {contract.target} = "{contract.labels.positive}"'


def _say_side(reasons: list[Reason], space: Space) -> str:
    """What moves the answer in one direction, and by how much together."""
    total = math.fsum(reason.contribution for reason in reasons)
    named = say_list([reason.phrase for reason in reasons])
    together = "together " if len(reasons) > 1 else ""
    if space == "probability":
        return f"{named}, {together}by {abs(total) * 100:.1f} percentage points"
    verb = "multiplying" if total > 0 else "dividing"
    return f"{named}, {together}{verb} the odds by {math.exp(abs(total)):.2f}"


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def _say_sum(change: float, space: Space) -> str:
    return _say_change(change, space).rpartition(" ")[0]


def _say_change(contribution: float, space: Space) -> str:
    """What a contribution does, up to the word before what it does it to."""
    if contribution == 0:
        return "adds nothing to"
    verb, preposition = ("adds", "to") if contribution > 0 else ("takes", "from")
    less = "less than " if is_small(contribution, space) else ""
    if space == "probability":
        size = 0.1 if less else abs(contribution) * 100
        return f"{verb} {less}{size:.1f} percentage points {preposition}"
    size = 0.01 if less else abs(contribution)
    return f"{verb} {less}{size:.2f} {preposition}"


def _say_level(level: float, space: Space) -> str:
    return f"{level:.1%}" if space == "probability" else f"{level:.2f}"
