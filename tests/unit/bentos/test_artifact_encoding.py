from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.artifact import Categorical, Contract, Encoder, Feature, Labels, Numeric, category_of, floats_of, is_allowed
from bentos.errors import InvalidFeatures

FEATURES: tuple[Feature, ...] = (
    Numeric(name="months", minimum=0, maximum=72, integer=True),
    Numeric(name="charge", minimum=-5.5, maximum=250),
    Numeric(name="total", minimum=0, maximum=9000, missing=("", " "), fill=0),
    Categorical(name="plan", categories=("monthly", "yearly")),
    Categorical(name="senior", categories=("0", "1")),
    Categorical(name="region", categories=("north", "south", "west"), missing=("?",)),
)
CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="id",
    target="left",
    labels=Labels(positive="Yes", negative="No"),
    features=FEATURES,
)
ENCODER = Encoder(CONTRACT)


def allowed(feature: Feature) -> st.SearchStrategy[Any]:
    """Every value that a request may carry for a feature."""
    nothing = st.sampled_from([None, *feature.missing]) if feature.missing else st.nothing()
    if isinstance(feature, Categorical):
        numbers = [int(category) for category in feature.categories if category.isdigit()]
        return st.sampled_from([*feature.categories, *numbers]) | nothing
    low, high = int(np.ceil(feature.minimum)), int(feature.maximum)
    whole = st.integers(low, high) | st.integers(low, high).map(float)
    return nothing | (whole if feature.integer else whole | st.floats(feature.minimum, feature.maximum))


def disallowed(feature: Feature) -> st.SearchStrategy[Any]:
    """Values that a request must not carry for a feature."""
    odd = st.booleans() | st.lists(st.integers(), max_size=2) | st.text(min_size=1)
    numbers = st.floats(allow_nan=True, allow_infinity=True) | st.integers()
    return (odd | numbers | st.none()).filter(lambda value: not is_allowed(feature, value))


ROWS = st.fixed_dictionaries({feature.name: allowed(feature) for feature in FEATURES})


@given(ROWS)
def test_every_allowed_row_encodes(row: dict[str, Any]) -> None:
    encoded = ENCODER.encode_row(row)
    assert encoded.shape == (1, ENCODER.width)
    assert np.isfinite(encoded).all()
    assert ENCODER.problems(row) == []


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_rows_and_columns_encode_alike(rows: list[dict[str, Any]]) -> None:
    one_by_one = np.concatenate([ENCODER.encode_row(row) for row in rows])
    together = ENCODER.encode_columns({name: [row[name] for row in rows] for name in rows[0]})
    assert (one_by_one == together).all()


@given(ROWS)
def test_each_category_sets_one_column_of_its_own(row: dict[str, Any]) -> None:
    encoded = ENCODER.encode_row(row)[0]
    for feature in FEATURES:
        start, end = ENCODER.spans[feature.name]
        if isinstance(feature, Categorical):
            assert sorted(encoded[start:end].tolist()) == [0.0] * (end - start - 1) + [1.0]
            category = category_of(feature, row[feature.name])
            name = f"{feature.name}={'missing' if category is None else category}"
            assert encoded[ENCODER.columns.index(name)] == 1


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_disallowed_value_is_named_with_what_is_allowed(feature: Feature) -> None:
    @given(ROWS, disallowed(feature))
    def check(row: dict[str, Any], value: Any) -> None:
        with pytest.raises(InvalidFeatures) as caught:
            ENCODER.encode_row({**row, feature.name: value})
        (problem,) = caught.value.problems
        assert (problem.field, problem.allowed) == (feature.name, feature.allowed)

    check()


@given(ROWS, st.sets(st.sampled_from([feature.name for feature in FEATURES]), min_size=1))
def test_every_missing_key_is_named(row: dict[str, Any], left_out: set[str]) -> None:
    short = {name: value for name, value in row.items() if name not in left_out}
    with pytest.raises(InvalidFeatures) as caught:
        ENCODER.encode_row(short)
    assert {problem.field for problem in caught.value.problems} == left_out


@given(ROWS, st.text().filter(lambda name: name not in {feature.name for feature in FEATURES}))
def test_an_unknown_key_is_named(row: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidFeatures) as caught:
        ENCODER.encode_row({**row, name: 1})
    assert [problem.field for problem in caught.value.problems] == [name[:80]]


def test_an_unknown_key_in_place_of_a_known_one_names_both() -> None:
    row = {"months": 1, "charge": 1, "total": 1, "plan": "monthly", "senior": 1, "area": "north"}
    with pytest.raises(InvalidFeatures) as caught:
        ENCODER.encode_row(row)
    assert [problem.field for problem in caught.value.problems] == ["region", "area"]


def test_every_problem_of_a_row_is_told_at_once() -> None:
    row = {"months": -1, "charge": "x", "total": None, "plan": "weekly", "senior": True, "region": "east"}
    fields = [problem.field for problem in ENCODER.problems(row)]
    assert fields == ["months", "charge", "plan", "senior", "region"]


def test_the_columns_are_named_in_the_contract_s_order() -> None:
    assert ENCODER.columns == (
        "months",
        "charge",
        "total",
        "total=missing",
        "plan=monthly",
        "plan=yearly",
        "senior=0",
        "senior=1",
        "region=north",
        "region=south",
        "region=west",
        "region=missing",
    )


def test_missing_is_filled_and_said() -> None:
    row = {"months": 1, "charge": 1, "total": None, "plan": "monthly", "senior": 1, "region": None}
    encoded = dict(zip(ENCODER.columns, ENCODER.encode_row(row)[0].tolist(), strict=True))
    assert (encoded["total"], encoded["total=missing"], encoded["region=missing"]) == (0, 1, 1)


def test_an_unseen_category_in_columns_leaves_its_columns_empty() -> None:
    columns: dict[str, list[Any]] = {
        "months": [1], "charge": [1], "total": [5], "plan": ["weekly"], "senior": [True], "region": ["north"]
    }  # fmt: skip
    encoded = ENCODER.encode_columns(columns)[0]
    for name in ("plan", "senior"):
        start, end = ENCODER.spans[name]
        assert not encoded[start:end].any()


def test_encoding_into_a_row_writes_what_encode_row_gives() -> None:
    row = {"months": 3, "charge": 2.5, "total": 7, "plan": "yearly", "senior": "0", "region": "west"}
    buffer = np.zeros((1, ENCODER.width), dtype=np.float32)
    ENCODER.encode_into(row, floats_of(buffer))
    assert (buffer == ENCODER.encode_row(row)).all()


def encode_together(rows: list[dict[str, Any]]) -> tuple[bool, Any]:
    matrix = np.full((len(rows), ENCODER.width), 7, dtype=np.float32)  # whatever it held is overwritten
    return ENCODER.encode_rows(rows, matrix), matrix


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_many_rows_at_once_encode_as_one_by_one_or_are_left_to_that(rows: list[dict[str, Any]]) -> None:
    is_encoded, matrix = encode_together(rows)
    if is_encoded:
        assert (matrix == np.concatenate([ENCODER.encode_row(row) for row in rows])).all()
    else:  # only numbers in a rare spelling are right and not encoded together
        odd = [row for row in rows if type(row["months"]) is not int or row["total"] in ("", " ")]
        assert odd


def test_plain_rows_are_encoded_at_once_with_null_where_missing_is_allowed() -> None:
    row = {"months": 3, "charge": 2.5, "total": None, "plan": "yearly", "senior": 1, "region": None}
    is_encoded, matrix = encode_together([row, {**row, "charge": 2, "total": 7, "senior": "0", "region": "west"}])
    assert is_encoded
    assert (matrix[0] == ENCODER.encode_row(row)[0]).all()
    assert dict(zip(ENCODER.columns, matrix[1].tolist(), strict=True))["senior=0"] == 1


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_disallowed_value_among_many_rows_is_never_encoded(feature: Feature) -> None:
    @given(st.lists(ROWS, min_size=1, max_size=4), ROWS, disallowed(feature))
    def check(rows: list[dict[str, Any]], row: dict[str, Any], value: Any) -> None:
        assert not encode_together([*rows, {**row, feature.name: value}])[0]

    check()


def test_a_row_with_a_feature_too_few_or_of_another_name_is_never_encoded() -> None:
    row = {"months": 3, "charge": 2.5, "total": 7, "plan": "yearly", "senior": "0", "region": "west"}
    short = {name: value for name, value in row.items() if name != "region"}
    assert encode_together([row])[0]
    assert not encode_together([row, short])[0]
    assert not encode_together([row, {**short, "area": "west"}])[0]
