from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.artifact import (
    Categorical,
    Contract,
    Labels,
    Numeric,
    RiskBand,
    check_contract,
    dump_contract,
    parse_contract,
)
from bentos.errors import InvalidContract

CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="id",
    target="left",
    labels=Labels(positive="Yes", negative="No"),
    features=(
        Numeric(name="age", minimum=0.0, maximum=120.0, unit="years", missing=("",), fill=-1.0),
        Categorical(name="plan", categories=("a", "b")),
    ),
    protected=("plan",),
    risk_bands=(RiskBand(name="low", from_probability=0.0), RiskBand(name="high", from_probability=0.6)),
)


def test_a_contract_is_read_as_it_was_written() -> None:
    assert parse_contract(dump_contract(CONTRACT)) == CONTRACT


def test_the_same_contract_gives_the_same_bytes() -> None:
    assert dump_contract(parse_contract(dump_contract(CONTRACT))) == dump_contract(CONTRACT)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema_version": 2}, "schema_version is 2"),
        ({"features": ()}, "features is empty"),
        ({"features": CONTRACT.features * 2}, "feature 'age' is named twice"),
        ({"id": "age"}, "'age' is the id or the target"),
        ({"target": "plan"}, "'plan' is the id or the target"),
        ({"protected": ("gender",)}, "protected attribute 'gender' is no feature"),
        ({"protected": ("age",)}, "'age' must be categorical"),
        ({"labels": Labels(positive="1", negative="1")}, "are the same"),
        ({"cut": 1.0}, "cut is 1"),
        ({"cut": float("nan")}, "cut is nan"),
        ({"false_positive_cost": 0.0}, "false_positive_cost is 0"),
        ({"false_positive_cost": float("inf")}, "false_positive_cost is inf"),
        ({"risk_bands": ()}, "must begin with a band from_probability 0"),
        ({"risk_bands": (RiskBand(name="x", from_probability=0.1),)}, "must begin with a band"),
        ({"risk_bands": (*CONTRACT.risk_bands, RiskBand(name="x", from_probability=0.5))}, "must rise"),
        ({"risk_bands": (*CONTRACT.risk_bands, RiskBand(name="x", from_probability=1.0))}, "within [0, 1)"),
    ],
)
def test_a_contradiction_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidContract) as caught:
        check_contract(msgspec.structs.replace(CONTRACT, **changes), "here.json")
    assert told in str(caught.value)
    assert str(caught.value).startswith("here.json: ")


@pytest.mark.parametrize(
    ("feature", "told"),
    [
        (Categorical(name="c", categories=("a",)), "at least two"),
        (Categorical(name="c", categories=("a", "a", "b")), "names one twice"),
        (Categorical(name="c", categories=("a", "b"), missing=("a",)), "also a spelling of missing"),
        (Numeric(name="n", minimum=1, maximum=1), "minimum must be below maximum"),
        (Numeric(name="n", minimum=0, maximum=float("inf")), "must be finite"),
        (Numeric(name="n", minimum=0, maximum=1, missing=("",)), "go together"),
        (Numeric(name="n", minimum=0, maximum=1, fill=0), "go together"),
    ],
)
def test_a_feature_that_contradicts_itself_is_named(feature: Any, told: str) -> None:
    with pytest.raises(InvalidContract) as caught:
        check_contract(msgspec.structs.replace(CONTRACT, features=(feature,), protected=()), "here")
    assert told in str(caught.value)
    assert f"{feature.name}: " in str(caught.value)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(InvalidContract, match=r"cut is 2.*false_positive_cost is -1"):
        check_contract(msgspec.structs.replace(CONTRACT, cut=2.0, false_positive_cost=-1.0), "here")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff", b'{"name": "\xff"}'])
def test_what_is_no_contract_is_told(content: bytes) -> None:
    with pytest.raises(InvalidContract, match=r"contract\.json"):
        parse_contract(content)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(InvalidContract, match="threshold"):
        parse_contract(dump_contract(CONTRACT).replace(b'"cut"', b'"threshold"'))


@given(st.floats(0, 1))
def test_every_probability_has_one_band_and_one_label(probability: float) -> None:
    assert CONTRACT.risk(probability) == ("high" if probability >= 0.6 else "low")
    assert CONTRACT.label(probability) == ("Yes" if probability >= 0.5 else "No")


def test_a_feature_that_there_is_not_is_told_with_those_that_there_are() -> None:
    with pytest.raises(InvalidContract, match="toy has no feature 'height'; it has age, plan"):
        CONTRACT.feature("height")


@pytest.mark.parametrize(
    ("changes", "serves"),
    [
        ({"cut": 0.3}, True),
        ({"protected": ()}, True),
        ({"languages": ("en", "de")}, True),
        (
            {
                "features": (
                    msgspec.structs.replace(CONTRACT.features[0], phrases={"any": "{value} old"}),
                    *CONTRACT.features[1:],
                )
            },
            True,
        ),
        ({"features": CONTRACT.features[:1]}, False),
        ({"id": "x"}, False),
    ],
)
def test_a_model_serves_as_another_when_it_is_asked_the_same(changes: dict[str, Any], serves: bool) -> None:
    assert msgspec.structs.replace(CONTRACT, **changes).serves_as(CONTRACT) is serves
