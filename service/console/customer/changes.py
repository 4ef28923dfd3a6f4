"""What could be offered to a customer, and what the model would answer then. Values in, values out.

Only what the contract names as actionable is changed, and only as it allows. That the model answers less is no promise
that the customer would act otherwise: it is the model's arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from bentos.artifact import Contract, Feature, Numeric, Reference, Value

_STEPS = 6
"""Values that are tried for a number, between the present one and the end of where training rows lie."""
MOST_ROWS = 400


@dataclass(frozen=True)
class Change:
    """One feature, changed.

    Attributes:
        feature: Its name.
        before: The value that it has.
        after: The value that it would have.
        words: What is offered, in the contract's first language.
    """

    feature: str
    before: Value
    after: Value
    words: str


@dataclass(frozen=True)
class Outlook:
    """What the model would answer after some changes.

    Attributes:
        changes: At least one, each of another feature.
        probability: After them.
        risk: The band of that.
    """

    changes: tuple[Change, ...]
    probability: float
    risk: str


def possible_changes(contract: Contract, reference: Reference, features: Mapping[str, Value]) -> tuple[Change, ...]:
    """Every single change that the contract allows.

    Args:
        contract: Says which features the company may change, and how.
        reference: How training rows were distributed: numbers are not moved to where there were none.
        features: As they are.
    """
    edges = {binned.name: binned.edges for binned in reference.features}
    language = contract.languages[0]
    found: list[Change] = []
    for feature in contract.actionable:
        before = features.get(feature.name)
        if isinstance(feature, Numeric):
            if feature.actionable is not None and isinstance(before, (int, float)):
                words = feature.actionable.words[language]
                found += [
                    Change(feature.name, before, after, words)
                    for after in _steps(feature, float(before), edges.get(feature.name, ()))
                ]
            continue
        offers = feature.offers(None if before is None else str(before))
        found += [Change(feature.name, before, offer.to, offer.words[language]) for offer in offers]
    return tuple(found)


def plans(changes: Sequence[Change], *, most: int = MOST_ROWS) -> tuple[tuple[Change, ...], ...]:
    """What is tried: every single change, then every pair of two features, as many as there is room for."""
    pairs = ((a, b) for a, b in combinations(changes, 2) if a.feature != b.feature)
    return (*((change,) for change in changes), *pairs)[:most]


def changed(features: Mapping[str, Value], plan: Sequence[Change]) -> dict[str, Value]:
    """The row after these changes."""
    return {**features, **{change.feature: change.after for change in plan}}


def nearest(outlooks: Sequence[Outlook], contract: Contract, probability: float) -> Outlook | None:
    """The fewest changes that reach a lower risk band, or, where none does, that lower the probability at all.

    Of equally many changes the one that moves numbers least is nearest, then the one that lowers the probability most.

    Args:
        outlooks: What was tried.
        contract: Says what a lower band is.
        probability: As it is.
    """
    order = [band.name for band in contract.risk_bands]
    present = order.index(contract.risk(probability))
    lower = [outlook for outlook in outlooks if order.index(outlook.risk) < present]
    candidates = lower or [outlook for outlook in outlooks if outlook.probability < probability]
    return min(candidates, key=lambda o: (len(o.changes), _moved(o.changes), o.probability), default=None)


def best_of_each(outlooks: Sequence[Outlook], probability: float) -> tuple[Outlook, ...]:
    """For each feature its single change that lowers the probability most, the largest first; others are left out."""
    best: dict[str, Outlook] = {}
    for outlook in outlooks:
        if len(outlook.changes) == 1 and outlook.probability < probability:
            name = outlook.changes[0].feature
            if name not in best or outlook.probability < best[name].probability:
                best[name] = outlook
    return tuple(sorted(best.values(), key=lambda outlook: outlook.probability))


def _steps(feature: Numeric, before: float, edges: Sequence[float]) -> list[Value]:
    """Values between the present one and the last edge of where training rows lie, in the allowed direction."""
    if not edges or feature.actionable is None:
        return []
    is_lower = feature.actionable.direction == "lower"
    end = max(feature.minimum, min(edges)) if is_lower else min(feature.maximum, max(edges))
    if (end >= before) if is_lower else (end <= before):
        return []
    steps = [before + (end - before) * step / _STEPS for step in range(1, _STEPS + 1)]
    rounded = [round(step) if feature.integer else round(step, 2) for step in steps]
    return [value for value in dict.fromkeys(rounded) if value != before]


def _moved(changes: Sequence[Change]) -> float:
    """How far numbers are moved, as shares of what they are; a category is simply another."""
    return sum(
        abs(change.after - change.before) / max(abs(change.before), 1e-9)
        for change in changes
        if isinstance(change.after, (int, float)) and isinstance(change.before, (int, float))
    )


def say_change(feature: Feature, change: Change) -> str:
    """A change as people read it: `Contract: Month-to-month to One year`."""
    unit = f" {feature.unit}" if isinstance(feature, Numeric) and feature.unit else ""
    return f"{feature.name}: {_value(change.before)} to {_value(change.after)}{unit}"


def _value(value: Value) -> str:
    if value is None:
        return "missing"
    return f"{value:g}" if isinstance(value, float) else str(value)
