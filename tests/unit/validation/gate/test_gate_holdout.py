import math

import pytest

from bentos.artifact import Categorical, Contract, Labels, Numeric
from bentos.errors import InvalidData
from validation.gate.holdout import holdout_of

CONTRACT = Contract(
    schema_version=1,
    name="toy",
    id="customer",
    target="leaves",
    labels=Labels(positive="Yes", negative="No"),
    features=(
        Numeric(name="tenure", minimum=0, maximum=72, integer=True),
        Categorical(name="senior", categories=("0", "1"), missing=("",)),
    ),
    protected=("senior",),
)


def table(**changes):
    found = {
        "customer": ["a", "b", "c"],
        "tenure": [1.0, 2.0, 72.0],
        "senior": ["0", "1", None],
        "leaves": ["Yes", "No", "No"],
    }
    return {key: value for key, value in {**found, **changes}.items() if value is not None}


def test_features_truths_and_groups_are_taken_as_the_contract_says():
    found = holdout_of(table(), CONTRACT, "sha256:x")
    assert found.truth.tolist() == [True, False, False]
    assert list(found.columns) == ["tenure", "senior"]
    assert found.groups_of(CONTRACT) == {"senior": ("0", "1", "missing")}


def test_integer_categories_are_the_groups_that_spell_them():
    assert holdout_of(table(senior=[0, 1, 1]), CONTRACT, "").groups_of(CONTRACT) == {"senior": ("0", "1", "1")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tenure": None}, "tenure: a missing column"),
        ({"leaves": None}, "leaves: a missing column"),
        ({"customer": [], "tenure": [], "senior": [], "leaves": []}, "customer: no row"),
        ({"tenure": [1.0, 73.0, 2.0]}, "row 1, tenure: 73.0 is not allowed; it must be a whole number from 0 to 72"),
        ({"tenure": [1.0, 1.5, 2.0]}, "row 1, tenure: 1.5"),
        ({"tenure": [1.0, math.nan, 2.0]}, "row 1, tenure"),
        ({"senior": ["0", "2", "1"]}, "row 1, senior: '2' is not allowed; it must be one of '0', '1', or null"),
        ({"leaves": ["Yes", "maybe", "No"]}, "row 1, leaves: 'maybe' is not allowed; it must be one of 'No', 'Yes'"),
        ({"leaves": ["Yes", None, "No"]}, "row 1, leaves is missing"),
        ({"customer": ["a", "b", "a"]}, "row 2, customer: 'a' is not allowed; it must be in one row only"),
    ],
)
def test_a_holdout_that_the_contract_does_not_allow_is_refused_by_row_and_column(changes, message):
    with pytest.raises(InvalidData, match=r"data/holdout\.parquet") as refused:
        holdout_of(table(**changes), CONTRACT, "")
    assert message in str(refused.value)


def test_hundreds_of_problems_are_counted_and_twenty_are_told():
    n = 300
    wrong = {
        "customer": [str(row) for row in range(n)],
        "tenure": [99.0] * n,
        "senior": ["0"] * n,
        "leaves": ["No"] * n,
    }
    with pytest.raises(InvalidData, match="300 problems") as refused:
        holdout_of(wrong, CONTRACT, "")
    assert len(refused.value.problems) == 20
