"""The contract's words: how people name a feature's values, and what may be offered to change one.

All of it is optional. Nothing here changes what a model is asked or answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Literal

import msgspec

PLACE = "{value}"
"""Stands for the number and its unit in a numeric feature's phrase."""

ANY, MISSING = "any", "missing"
"""Keys of `phrases` beside categories and numbers: every number without a phrase of its own, and no value at all."""

LONGEST_PHRASE = 120

Direction = Literal["lower", "higher"]
Words = Mapping[str, str]
"""A phrase in each of the contract's languages."""

_LANGUAGE = re.compile(r"[a-z]{2}")
_MARKUP = frozenset("<>{}[]\\|`")


class Offer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A category that a customer may be offered in place of another.

    Attributes:
        to: The category that is offered.
        instead_of: Categories in whose place; empty: of any other.
        words: What is offered, in each of the contract's languages: a noun phrase that can stand in a list.
    """

    to: str
    words: Words
    instead_of: tuple[str, ...] = ()


class Adjustment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The direction in which a number may be changed.

    Attributes:
        direction: `lower` or `higher`.
        words: What is offered, in each of the contract's languages.
    """

    direction: Direction
    words: Words


def language_problems(languages: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with a contract's languages."""
    if not languages or len(set(languages)) < len(languages):
        yield "languages must name at least one, and none twice"
    for language in languages:
        if not _LANGUAGE.fullmatch(language):
            yield f"languages names {language!r}; allowed are two-letter codes of ISO 639 such as 'en'"


def phrase_problems(name: str, phrases: Mapping[str, str], allowed: tuple[str, ...] | None) -> Iterator[str]:
    """What is wrong with a feature's phrases.

    Args:
        name: Of the feature.
        phrases: As the contract holds them.
        allowed: Keys that a categorical feature's may have; None: those of a numeric one, numbers and `any`.
    """
    if allowed is None:
        yield from _twice(name, phrases)
    for key, text in phrases.items():
        place = f"{name}: phrases[{key!r}]"
        if allowed is not None and key not in allowed:
            yield f"{place} is for no value of it; allowed are {', '.join(map(repr, allowed))}"
        elif allowed is None and key not in (ANY, MISSING) and not _is_number(key):
            yield f"{place} is for no value of it; allowed are a number, {ANY!r} and {MISSING!r}"
        if allowed is None and key == ANY:
            if text.count(PLACE) != 1:
                yield f"{place} must hold {PLACE} once, where the number stands"
            text = text.replace(PLACE, "0")
        yield from _text_problems(place, text)


def change_problems(name: str, words: Words, languages: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the words of an offer or an adjustment, whose place is `name`."""
    if set(words) != set(languages):
        yield f"{name}.words is in {', '.join(words) or 'no language'}; it must be in {', '.join(languages)}"
    for language, text in words.items():
        yield from _text_problems(f"{name}.words.{language}", text)


def offer_problems(
    name: str, offers: tuple[Offer, ...], categories: tuple[str, ...], languages: tuple[str, ...]
) -> Iterator[str]:
    """What is wrong with a categorical feature's offers."""
    for offer in offers:
        place = f"{name}: actionable[{offer.to!r}]"
        for category in (offer.to, *offer.instead_of):
            if category not in categories:
                yield f"{place} names {category!r}; allowed are {', '.join(map(repr, categories))}"
        if offer.to in offer.instead_of:
            yield f"{place} is offered instead of itself"
        yield from change_problems(place, offer.words, languages)
    if len({offer.to for offer in offers}) < len(offers):
        yield f"{name}: actionable offers a category twice"


def _twice(name: str, phrases: Mapping[str, str]) -> Iterator[str]:
    numbers = [float(key) for key in phrases if _is_number(key)]
    if len(set(numbers)) < len(numbers):
        yield f"{name}: phrases names a number twice, such as 1 and 1.0"


def _text_problems(place: str, text: str) -> Iterator[str]:
    if text != text.strip() or not 0 < len(text) <= LONGEST_PHRASE or not text.isprintable():
        yield f"{place} must be 1 to {LONGEST_PHRASE} printable characters with no blank around them"
    if _MARKUP & set(text) or "://" in text:
        yield f"{place} must be plain words, without markup and links"


def _is_number(text: str) -> bool:
    try:
        return float(text) - float(text) == 0
    except ValueError:
        return False
