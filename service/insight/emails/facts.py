"""What an e-mail may be about: values that raise the risk and that the company can change, and what it may offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bentos.artifact import Categorical, Contract, Feature
from service.insight.explainers import Space
from service.insight.reasons import Reason, is_small
from service.routes.drafting import Tone

MOST_FACTS = 3


@dataclass(frozen=True)
class Fact:
    """One value of the customer's, and what may be offered in its place.

    Attributes:
        feature: Its name.
        phrase: The value as people name it, in the contract's first language.
        offers: What may be offered, in the e-mail's language.
    """

    feature: str
    phrase: str
    offers: tuple[str, ...]


@dataclass(frozen=True)
class Brief:
    """All that whoever writes an e-mail is told: words of the contract, and how to say them.

    Attributes:
        risk: The risk band.
        facts: Those that count most first.
        tone: How it is to sound.
        language: Two-letter code.
    """

    risk: str
    facts: tuple[Fact, ...]
    tone: Tone
    language: str

    @property
    def offers(self) -> tuple[str, ...]:
        """Everything that may be offered."""
        return tuple(offer for fact in self.facts for offer in fact.offers)


def choose_facts(contract: Contract, reasons: Sequence[Reason], space: Space, language: str) -> tuple[Fact, ...]:
    """The facts that count most, of those that raise the risk and for which something may be offered.

    Args:
        contract: Of the model.
        reasons: The largest first.
        space: What they are measured in.
        language: One of the contract's.
    """
    found = []
    for reason in reasons:
        raises = reason.contribution > 0 and not is_small(reason.contribution, space)
        offers = _offers(contract.feature(reason.feature), reason, language) if raises else ()
        if offers:
            found.append(Fact(reason.feature, reason.phrase, offers))
    return tuple(found[:MOST_FACTS])


def _offers(feature: Feature, reason: Reason, language: str) -> tuple[str, ...]:
    if isinstance(feature, Categorical):
        category = reason.value if isinstance(reason.value, str) else None
        return tuple(offer.words[language] for offer in feature.offers(category))
    if feature.actionable is None or reason.value is None:
        return ()
    return (feature.actionable.words[language],)
