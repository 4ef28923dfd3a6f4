"""The contract's words: phrases for values and offers to change them; optional, strict, and read by no model."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from serving_toys import CONTRACT

from bentos.artifact import (
    Adjustment,
    Categorical,
    Contract,
    Feature,
    Numeric,
    Offer,
    check_contract,
    dump_contract,
    parse_contract,
    phrase_of,
)
from bentos.errors import InvalidContract

WORDS = {"en": "a contract for one year", "de": "ein Vertrag über ein Jahr"}
CHARGES, PLAN, SENIOR = CONTRACT.features[1], CONTRACT.features[2], CONTRACT.features[3]


def with_feature(feature: Feature) -> Contract:
    return msgspec.structs.replace(CONTRACT, features=(*CONTRACT.features[:1], feature), protected=())


def offering(**changes: object) -> Categorical:
    offer = msgspec.structs.replace(Offer(to="One year", words=WORDS), **changes)
    return msgspec.structs.replace(PLAN, actionable=(offer,))


def test_words_are_read_as_they_were_written() -> None:
    assert parse_contract(dump_contract(CONTRACT)) == CONTRACT


def test_a_contract_without_words_has_none_of_their_keys_so_that_earlier_versions_read_it() -> None:
    plain = Contract(
        schema_version=1,
        name="toy",
        id="id",
        target="left",
        labels=CONTRACT.labels,
        features=(Numeric(name="age", minimum=0, maximum=120), Categorical(name="plan", categories=("a", "b"))),
    )
    written = dump_contract(plain)
    assert not re.search(rb"phrases|actionable|languages", written)
    assert parse_contract(written) == plain
    assert plain.actionable == ()


def test_the_features_that_can_be_changed_are_those_with_something_to_offer() -> None:
    assert [feature.name for feature in CONTRACT.actionable] == ["charges", "contract"]


@pytest.mark.parametrize(
    ("category", "offered"),
    [
        ("Month-to-month", ["One year", "Two year"]),
        ("One year", ["Two year"]),
        ("Two year", []),
        (None, ["Two year"]),
    ],
)
def test_nobody_is_offered_what_they_have_or_what_is_not_for_them(category: str | None, offered: list[str]) -> None:
    assert isinstance(PLAN, Categorical)
    assert [offer.to for offer in PLAN.offers(category)] == offered


@pytest.mark.parametrize(
    ("feature", "value", "phrase"),
    [
        (CHARGES, 70.5, "{value} a month"),
        (CHARGES, 0.0, "nothing to pay"),
        (CHARGES, None, "no charges yet"),
        (PLAN, "One year", "a one-year contract"),
        (PLAN, "Two year", None),
        (SENIOR, "1", None),
    ],
)
def test_the_phrase_is_the_value_s_own(feature: Feature, value: float | str | None, phrase: str | None) -> None:
    assert phrase_of(feature, value) == phrase


def test_a_number_is_found_as_float32_reads_it() -> None:
    feature = Numeric(name="share", minimum=0, maximum=1, phrases={"0.1": "a tenth", "any": "{value}"})
    assert phrase_of(feature, float(np.float32(0.1))) == "a tenth"
    assert phrase_of(feature, float(np.float32(0.1001))) == "{value}"


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (msgspec.structs.replace(PLAN, phrases={"Weekly": "x"}), "contract: phrases['Weekly'] is for no value of it"),
        (msgspec.structs.replace(PLAN, phrases={"missing": "x"}), "contract: phrases['missing'] is for no value"),
        (msgspec.structs.replace(PLAN, phrases={"One year": " x"}), "no blank around them"),
        (msgspec.structs.replace(PLAN, phrases={"One year": ""}), "must be 1 to 120 printable characters"),
        (msgspec.structs.replace(PLAN, phrases={"One year": "x\ny"}), "printable"),
        (msgspec.structs.replace(PLAN, phrases={"One year": "x" * 121}), "1 to 120"),
        (msgspec.structs.replace(PLAN, phrases={"One year": "<b>x</b>"}), "without markup"),
        (msgspec.structs.replace(PLAN, phrases={"One year": "see https://x"}), "and links"),
        (msgspec.structs.replace(CHARGES, phrases={"any": "much"}), "charges: phrases['any'] must hold {value} once"),
        (msgspec.structs.replace(CHARGES, phrases={"a lot": "x"}), "charges: phrases['a lot'] is for no value of it"),
        (msgspec.structs.replace(CHARGES, phrases={"nan": "x"}), "charges: phrases['nan'] is for no value of it"),
        (msgspec.structs.replace(CHARGES, phrases={"1": "x", "1.0": "y"}), "charges: phrases names a number twice"),
        (offering(to="Weekly"), "contract: actionable['Weekly'] names 'Weekly'"),
        (offering(instead_of=("Weekly",)), "contract: actionable['One year'] names 'Weekly'"),
        (offering(instead_of=("One year",)), "offered instead of itself"),
        (offering(words={"en": "x"}), "contract: actionable['One year'].words is in en; it must be in en, de"),
        (offering(words={**WORDS, "de": "{x}"}), "contract: actionable['One year'].words.de must be plain words"),
        (msgspec.structs.replace(PLAN, actionable=(Offer(to="One year", words=WORDS),) * 2), "a category twice"),
        (
            msgspec.structs.replace(CHARGES, actionable=Adjustment(direction="lower", words={})),
            "charges: actionable.words is in no language",
        ),
    ],
)
def test_words_that_fit_no_value_or_language_are_named(feature: Feature, told: str) -> None:
    with pytest.raises(InvalidContract) as caught:
        check_contract(with_feature(feature), "here")
    assert told in str(caught.value)


def test_what_fairness_is_judged_by_is_never_actionable() -> None:
    feature = msgspec.structs.replace(SENIOR, actionable=(Offer(to="0", words=WORDS),))
    contract = msgspec.structs.replace(CONTRACT, features=(*CONTRACT.features[:3], feature))
    with pytest.raises(InvalidContract, match="senior is protected"):
        check_contract(contract, "here")


@pytest.mark.parametrize("languages", [(), ("en", "en"), ("english",), ("EN",)])
def test_languages_are_two_letter_codes_each_named_once(languages: tuple[str, ...]) -> None:
    with pytest.raises(InvalidContract, match="languages"):
        check_contract(msgspec.structs.replace(CONTRACT, languages=languages), "here")


def test_a_direction_is_one_of_two() -> None:
    with pytest.raises(InvalidContract, match="sideways"):
        parse_contract(dump_contract(CONTRACT).replace(b'"lower"', b'"sideways"'))
