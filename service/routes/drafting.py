"""What a retention e-mail may be asked to be: scoring's documents and insight read the same words."""

from __future__ import annotations

from typing import Literal, get_args

from bentos.artifact import Contract

Tone = Literal["friendly", "formal"]
TONES: tuple[Tone, ...] = get_args(Tone)

LANGUAGES = ("en", "es", "de", "fr")
"""In which drafts can be written, as far as the contract's offers have words in them."""

ACTION = "retention-email"
"""What sending is called where it is recorded."""

LEFT_ALONE = (
    "This customer is one of the share from whom actions are withheld, so that what becomes of customers without them "
    "stays known: write no e-mail."
)
RECORDED = "that is recorded as a treatment, and the customer counts as treated from then on."
"""What an e-mail nevertheless means for the evidence."""


def languages_of(contract: Contract) -> tuple[str, ...]:
    """In which languages drafts can be written under a contract, the default first."""
    return tuple(code for code in contract.languages if code in LANGUAGES)
