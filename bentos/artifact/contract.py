"""The contract: what a model is asked, in `contract.json`; schema, messages, encoding and counters all come from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from bentos.artifact.wording import (
    ANY,
    MISSING,
    Adjustment,
    Offer,
    change_problems,
    language_problems,
    offer_problems,
    phrase_problems,
)
from bentos.errors import InvalidContract

SCHEMA_VERSION = 1

_LANGUAGES = ("en",)
_FLOAT32 = 1e-6
"""Scored numbers are float32, and a contract is written in decimals."""
_WORDS = ("phrases", "actionable")


class Numeric(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="numeric", forbid_unknown_fields=True):
    """A number in a range.

    Attributes:
        name: The column's name.
        minimum: Smallest value allowed, in `unit`.
        maximum: Largest value allowed, in `unit`.
        unit: What one step of it is ("month", "USD"); empty for none.
        integer: Whether only whole numbers are allowed.
        missing: How a missing value is spelled in files; over HTTP it is null. Empty: missing is not allowed.
        fill: What is scored in place of a missing value, beside an indicator; required where `missing` is not empty.
        description: What it is, for people.
        phrases: How people name its values: by a number, `any` (with `{value}`) and `missing`.
        actionable: How the company may change it; None: it cannot, as with age or tenure.
    """

    name: str
    minimum: float
    maximum: float
    unit: str = ""
    integer: bool = False
    missing: tuple[str, ...] = ()
    fill: float | None = None
    description: str = ""
    phrases: Mapping[str, str] = {}
    actionable: Adjustment | None = None

    @property
    def allowed(self) -> str:
        """What is allowed, to be read after "must be"."""
        noun = "a whole number" if self.integer else "a number"
        unit = f" {self.unit}" if self.unit else ""
        null = ", or null" if self.missing else ""
        return f"{noun} from {self.minimum:g} to {self.maximum:g}{unit}{null}"


class Categorical(
    msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="categorical", forbid_unknown_fields=True
):
    """One of a few named values.

    Attributes:
        name: The column's name.
        categories: Every value allowed, as text; a JSON integer is taken for the category that spells it.
        missing: How a missing value is spelled in files; over HTTP it is null. Empty: missing is not allowed.
        description: What it is, for people.
        phrases: How people name its values, by category, and `missing`.
        actionable: What the company may offer in place of a value; empty: nothing, as with age or gender.
    """

    name: str
    categories: tuple[str, ...]
    missing: tuple[str, ...] = ()
    description: str = ""
    phrases: Mapping[str, str] = {}
    actionable: tuple[Offer, ...] = ()

    def offers(self, category: str | None) -> tuple[Offer, ...]:
        """What may be offered to whom has this category."""
        return tuple(
            offer
            for offer in self.actionable
            if category != offer.to and (not offer.instead_of or category in offer.instead_of)
        )

    @property
    def allowed(self) -> str:
        """What is allowed, to be read after "must be"."""
        null = ", or null" if self.missing else ""
        return "one of " + ", ".join(repr(category) for category in self.categories) + null


Feature = Numeric | Categorical


class RiskBand(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A name for a range of probabilities, which reaches up to the next band.

    Attributes:
        name: What the band is called.
        from_probability: The smallest probability in it, in [0, 1].
    """

    name: str
    from_probability: float


class Labels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the target's two values are spelled."""

    positive: str
    negative: str


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is asked and how its answer is read.

    Attributes:
        schema_version: Version of this file's form.
        name: The model's name in the registry.
        id: The column that says who is scored.
        target: The column to be predicted.
        labels: How its two values are spelled.
        features: The features, in the order in which they are encoded.
        protected: Features by whose groups fairness is judged.
        cut: Probability from which the positive label is answered, in (0, 1).
        false_positive_cost: Cost of a false positive over the cost of a false negative, above 0.
        risk_bands: Bands by rising probability, the first from 0.
        languages: In which every offer has its words; the first is that of phrases.
    """

    schema_version: int
    name: str
    id: str
    target: str
    labels: Labels
    features: tuple[Feature, ...]
    protected: tuple[str, ...] = ()
    cut: float = 0.5
    false_positive_cost: float = 1.0
    risk_bands: tuple[RiskBand, ...] = (RiskBand(name="all", from_probability=0.0),)
    languages: tuple[str, ...] = _LANGUAGES

    @property
    def actionable(self) -> tuple[Feature, ...]:
        """The features that the company may change."""
        return tuple(feature for feature in self.features if feature.actionable)

    def feature(self, name: str) -> Feature:
        """The feature of that name.

        Raises:
            InvalidContract: There is none.
        """
        for feature in self.features:
            if feature.name == name:
                return feature
        raise InvalidContract(f"{self.name} has no feature {name!r}; it has {', '.join(f.name for f in self.features)}")

    def risk(self, probability: float) -> str:
        """The name of the band that a probability falls in."""
        name = self.risk_bands[0].name
        for band in self.risk_bands:
            if probability < band.from_probability:
                break
            name = band.name
        return name

    def label(self, probability: float) -> str:
        """The label answered for a probability."""
        return self.labels.positive if probability >= self.cut else self.labels.negative

    def serves_as(self, other: Contract) -> bool:
        """Whether a model under this contract can answer what is asked under the other: same rows, same truth.

        Phrases and offers are about rows that stay the same, and may differ.
        """
        mine = (self.name, self.id, self.target, self.labels, _wordless(self.features))
        return mine == (other.name, other.id, other.target, other.labels, _wordless(other.features))


def dump_contract(contract: Contract) -> bytes:
    """The contract as the bytes of `contract.json`; the same contract gives the same bytes.

    What it says nothing of by phrases, offers and languages is left out, so that earlier versions read it as well.
    """
    told = msgspec.to_builtins(contract)
    if contract.languages == _LANGUAGES:
        del told["languages"]
    for feature in told["features"]:
        for key in _WORDS:
            if not feature[key]:
                del feature[key]
    return msgspec.json.format(msgspec.json.encode(told), indent=2) + b"\n"


def phrase_of(feature: Feature, value: float | str | None) -> str | None:
    """How people name this value of a feature; None where the contract has no phrase for it.

    Args:
        feature: With its phrases.
        value: As it is scored; None: missing.
    """
    if value is None:
        return feature.phrases.get(MISSING)
    if isinstance(value, str):
        return feature.phrases.get(value)
    for key, phrase in feature.phrases.items():
        if key not in (ANY, MISSING) and math.isclose(float(key), value, rel_tol=_FLOAT32):
            return phrase
    return feature.phrases.get(ANY)


def parse_contract(content: bytes, source: str = "contract.json") -> Contract:
    """Read a contract and check that it holds together.

    Args:
        content: JSON.
        source: The file's name, for messages.

    Raises:
        InvalidContract: It cannot be read, or contradicts itself.
    """
    try:
        contract = msgspec.json.decode(content, type=Contract)
    except (msgspec.MsgspecError, UnicodeDecodeError) as e:
        raise InvalidContract(f"{source}: {e}") from e
    check_contract(contract, source)
    return contract


def load_contract(path: Path) -> Contract:
    """Read `contract.json`; see `parse_contract`."""
    return parse_contract(path.read_bytes(), str(path))


def check_contract(contract: Contract, source: str) -> None:
    """Check that a contract holds together.

    Raises:
        InvalidContract: With everything that is wrong, joined by semicolons.
    """
    problems = list(_contradictions(contract))
    if problems:
        raise InvalidContract(f"{source}: " + "; ".join(problems))


def _contradictions(contract: Contract) -> Iterator[str]:
    if contract.schema_version != SCHEMA_VERSION:
        yield f"schema_version is {contract.schema_version}; this version of Gauntlet reads {SCHEMA_VERSION}"
    yield from _name_contradictions(contract)
    if contract.labels.positive == contract.labels.negative:
        yield "labels.positive and labels.negative are the same"
    if not 0 < contract.cut < 1:
        yield f"cut is {contract.cut:g}; it must be between 0 and 1"
    if not 0 < contract.false_positive_cost < math.inf:
        yield f"false_positive_cost is {contract.false_positive_cost:g}; it must be a finite number above 0"
    yield from language_problems(contract.languages)
    for feature in contract.features:
        yield from _feature_contradictions(feature)
        yield from _word_contradictions(feature, contract)
    yield from _band_contradictions(contract.risk_bands)


def _name_contradictions(contract: Contract) -> Iterator[str]:
    names = [feature.name for feature in contract.features]
    if not names:
        yield "features is empty; name at least one"
    for name in sorted({n for n in names if names.count(n) > 1}):
        yield f"feature {name!r} is named twice"
    for name in (contract.id, contract.target):
        if name in names:
            yield f"{name!r} is the id or the target and must not be a feature"
    for name in contract.protected:
        if name not in names:
            yield f"protected attribute {name!r} is no feature"
        elif not isinstance(contract.feature(name), Categorical):
            yield f"protected attribute {name!r} must be categorical, as groups are compared"


def _feature_contradictions(feature: Feature) -> Iterator[str]:
    if isinstance(feature, Categorical):
        if len(feature.categories) < 2:
            yield f"{feature.name}: categories must name at least two"
        if len(set(feature.categories)) < len(feature.categories):
            yield f"{feature.name}: categories names one twice"
        if set(feature.categories) & set(feature.missing):
            yield f"{feature.name}: a category is also a spelling of missing"
        return
    if not (math.isfinite(feature.minimum) and math.isfinite(feature.maximum)):
        yield f"{feature.name}: minimum and maximum must be finite"
    elif feature.minimum >= feature.maximum:
        yield f"{feature.name}: minimum must be below maximum"
    if bool(feature.missing) != (feature.fill is not None):
        yield f"{feature.name}: missing (how it is spelled) and fill (what is scored instead) go together"


def _band_contradictions(bands: tuple[RiskBand, ...]) -> Iterator[str]:
    starts = [band.from_probability for band in bands]
    if not starts or starts[0] != 0:
        yield "risk_bands must begin with a band from_probability 0"
    if starts != sorted(set(starts)) or any(not 0 <= start < 1 for start in starts):
        yield "risk_bands must rise by from_probability, within [0, 1)"


def _word_contradictions(feature: Feature, contract: Contract) -> Iterator[str]:
    if feature.actionable and feature.name in contract.protected:
        yield f"{feature.name} is protected, and what fairness is judged by must not be actionable"
    if MISSING in feature.phrases and not feature.missing:
        yield f"{feature.name}: phrases[{MISSING!r}] is for no value of it, as it must not be missing"
    if isinstance(feature, Categorical):
        yield from phrase_problems(feature.name, feature.phrases, (*feature.categories, MISSING))
        yield from offer_problems(feature.name, feature.actionable, feature.categories, contract.languages)
        return
    yield from phrase_problems(feature.name, feature.phrases, None)
    if feature.actionable:
        yield from change_problems(f"{feature.name}: actionable", feature.actionable.words, contract.languages)


def _wordless(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    def without(feature: Feature) -> Feature:
        if isinstance(feature, Categorical):
            return msgspec.structs.replace(feature, phrases={}, actionable=())
        return msgspec.structs.replace(feature, phrases={}, actionable=None)

    return tuple(map(without, features))
