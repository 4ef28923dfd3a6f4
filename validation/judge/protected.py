"""Protected groups as people see them: how often the truth was positive, and what each model said. Never evidence.

A verdict weighs the groups that its policy names, each by its own margin (`groups.py`). Here every attribute that the
contract protects is counted, and groups can be set beside each other, which no verdict does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from bentos.artifact import Categorical, Contract, category_of
from validation.judge.ledger import MISSING_GROUP, group_of
from validation.judge.policy import OnlinePolicy

UNSEEN_GROUP = "(unseen)"
"""The group of customers whose value is no category of the contract."""

FEWEST = 100
"""Below so many customers nothing is said of a group: a share of them is known to ten points at best."""

MOST_GROUPS = 20
"""Of an attribute whose categories nobody knows, so many groups are shown: those with most customers."""


class Attribute(msgspec.Struct, frozen=True, kw_only=True):
    """By what customers are grouped.

    Attributes:
        name: The feature.
        feature: With its categories; None where no contract says them.
    """

    name: str
    feature: Categorical | None = None

    def group(self, raw: str | None) -> str:
        """The group that a value of a request belongs to.

        Args:
            raw: The value as JSON; None where the request lacks it.

        Examples:
            >>> senior = Categorical(name="senior", categories=("0", "1"))
            >>> [Attribute(name="senior", feature=senior).group(raw) for raw in ("1", '"1"', "7", "[]", "null", None)]
            ['1', '1', '(unseen)', '(unseen)', '(missing)', '(missing)']
        """
        name = group_of(raw)
        if self.feature is None or raw is None or name == MISSING_GROUP:
            return name
        value = msgspec.json.decode(raw)
        if isinstance(value, list | dict):  # no request was answered with one; a row that was put in by hand may be
            return UNSEEN_GROUP
        return category_of(self.feature, value) or UNSEEN_GROUP


class GroupTally(msgspec.Struct, frozen=True, kw_only=True):
    """Matured customers of one group, and what was true and said of them.

    Attributes:
        attribute: The feature.
        value: Its value in this group.
        customers: How many were scored by both models and have a truth.
        positive: Of these the truth was positive.
        champion_positive: The champion said so.
        challenger_positive: The challenger said so.
        champion_right: The champion's label was right.
        challenger_right: The challenger's label was right.
    """

    attribute: str
    value: str
    customers: int = 0
    positive: int = 0
    champion_positive: int = 0
    challenger_positive: int = 0
    champion_right: int = 0
    challenger_right: int = 0


class Customers(msgspec.Struct, frozen=True, kw_only=True):
    """Customers of whom the same was said and came true.

    Attributes:
        raw: What their requests said of each attribute, as JSON.
        champion: Whether the champion said positive.
        challenger: Whether the challenger did.
        truth: Whether it came true.
        number: How many they are.
    """

    raw: tuple[str | None, ...]
    champion: bool
    challenger: bool
    truth: bool
    number: int


def attributes_of(contract: Contract | None, policy: OnlinePolicy) -> tuple[Attribute, ...]:
    """What is protected: attributes of the contract, then those that only the policy names.

    Args:
        contract: The champion's; None where nobody has it, and then the categories are unknown.
        policy: The rules of the verdict.
    """
    names = [*(contract.protected if contract else ()), *(rule.attribute for rule in policy.groups)]
    known = {one.name: one for one in contract.features if isinstance(one, Categorical)} if contract else {}
    return tuple(Attribute(name=name, feature=known.get(name)) for name in dict.fromkeys(names))


def tally(found: Iterable[Customers], attributes: Sequence[Attribute]) -> tuple[GroupTally, ...]:
    """Count every group of every attribute that has customers enough, by attribute and value.

    Args:
        found: Matured customers, each once.
        attributes: In the order of `Customers.raw`.
    """
    sums: list[dict[str, Counter[str]]] = [{} for _ in attributes]
    for one in found:
        for attribute, raw, by_value in zip(attributes, one.raw, sums, strict=True):
            by_value.setdefault(attribute.group(raw), Counter()).update(dict.fromkeys(_sums_of(one), one.number))
    return tuple(
        GroupTally(attribute=attribute.name, value=value, **by_value[value])
        for attribute, by_value in zip(attributes, sums, strict=True)
        for value in _shown(attribute, by_value)
    )


def _sums_of(one: Customers) -> list[str]:
    counted = {
        "customers": True,
        "positive": one.truth,
        "champion_positive": one.champion,
        "challenger_positive": one.challenger,
        "champion_right": one.champion == one.truth,
        "challenger_right": one.challenger == one.truth,
    }
    return [name for name, holds in counted.items() if holds]


def _shown(attribute: Attribute, by_value: dict[str, Counter[str]]) -> list[str]:
    enough = {value: sums["customers"] for value, sums in by_value.items() if sums["customers"] >= FEWEST}
    if attribute.feature is None:
        enough = dict(sorted(enough.items(), key=lambda one: (-one[1], one[0]))[:MOST_GROUPS])
    return sorted(enough)
