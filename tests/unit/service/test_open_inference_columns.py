"""From tensors to rows: columns, matrices, missing values, flags, ids, and what is refused by its name."""

import msgspec
import pytest
from serving_toys import CONTRACT, NAN

from bentos.artifact import Categorical, Encoder, Numeric
from bentos.errors import InvalidRequest
from service.routes.open_inference.columns import make_requests
from service.routes.open_inference.reading import InferRequest
from service.routes.open_inference.tensors import Tensor


def tensor(name, datatype, values, shape=None):
    return Tensor(name, datatype, tuple(shape or (len(values),)), values)


def columns(**changes):
    """One tensor a column, of two rows."""
    found = {
        "tenure": tensor("tenure", "INT64", [3, 4]),
        "charges": tensor("charges", "FP64", [70.5, NAN]),
        "contract": tensor("contract", "BYTES", ["One year", "Two year"]),
        "senior": tensor("senior", "INT32", [0, 1]),
    } | changes
    return [one for one in found.values() if one is not None]


def rows(tensors, contract=CONTRACT, *, prediction_id=None, purpose="live"):
    asked = InferRequest(id=None, tensors=tuple(tensors), outputs=(), purpose=purpose, prediction_id=prediction_id)
    return make_requests(asked, contract)


def features(tensors, contract=CONTRACT):
    return [row.features for row in rows(tensors, contract)]


def values_of(feature, datatype, values):
    """What a column of a contract of that feature alone becomes."""
    contract = msgspec.structs.replace(CONTRACT, features=(feature,))
    return [row[feature.name] for row in features([tensor(feature.name, datatype, values)], contract)]


def problems(tensors, **options):
    with pytest.raises(InvalidRequest) as caught:
        rows(tensors, **options)
    return {problem.field: problem for problem in caught.value.problems}


def test_one_tensor_a_column_becomes_rows_that_the_contract_reads():
    found = features(columns())
    assert found == [
        {"tenure": 3, "charges": 70.5, "contract": "One year", "senior": 0},
        {"tenure": 4, "charges": None, "contract": "Two year", "senior": 1},
    ]
    assert all(not Encoder(CONTRACT).problems(row) for row in found)


def test_one_column_may_be_a_matrix_of_one_column_and_the_order_does_not_matter():
    tall = columns(tenure=tensor("tenure", "INT64", [3, 4], (2, 1)))
    assert features(reversed(tall)) == features(columns())


@pytest.mark.parametrize("name", ["input-0", "predict", "x"])
def test_a_matrix_of_text_holds_all_features_in_the_contracts_order(name):
    values = ["3", "70.5", "One year", "0", "4", "", "Two year", "1"]
    found = features([tensor(name, "BYTES", values, (2, 4))])
    assert found == [
        {"tenure": 3, "charges": 70.5, "contract": "One year", "senior": "0"},
        {"tenure": 4, "charges": None, "contract": "Two year", "senior": "1"},
    ]


def test_a_matrix_of_numbers_serves_a_contract_of_numbers():
    contract = msgspec.structs.replace(CONTRACT, features=(CONTRACT.features[0], CONTRACT.features[1]))
    assert features([tensor("x", "FP64", [3.0, 70.5, 4.0, NAN], (2, 2))], contract) == [
        {"tenure": 3, "charges": 70.5},
        {"tenure": 4, "charges": None},
    ]


@pytest.mark.parametrize("shape", [(8,), (8, 1), (4, 2)])
def test_a_matrix_of_another_width_is_refused_with_the_order_of_the_columns(shape):
    problem = problems([tensor("x", "FP64", [0.0] * 8, shape)])["x.shape"]
    assert "tenure, charges, contract, senior" in problem.allowed


def test_every_missing_and_every_unknown_column_is_named_at_once():
    found = problems(columns(charges=None, senior=None, colour=tensor("colour", "BYTES", ["red", "blue"])))
    assert set(found) == {"charges", "senior", "colour"}
    assert "customerID" in found["colour"].allowed


def test_a_column_of_another_length_width_or_sent_twice_is_named():
    assert "charges.shape" in problems(columns(charges=tensor("charges", "FP64", [1.0, 2.0, 3.0])))
    assert "tenure.shape" in problems(columns(tenure=tensor("tenure", "INT64", [1, 2, 3, 4], (2, 2))))
    assert "tenure" in problems([*columns(), tensor("tenure", "INT64", [1, 2])])
    assert "customerID.shape" in problems([*columns(), tensor("customerID", "BYTES", ["a"] * 4, (2, 2))])


def test_no_inputs_is_every_feature_missing():
    assert list(problems([])) == ["tenure", "charges", "contract", "senior"]


CHARGES = Numeric(name="charges", minimum=0.1, maximum=118.6, missing=(" ",), fill=50.0)
TENURE = Numeric(name="tenure", minimum=0, maximum=72, integer=True)


@pytest.mark.parametrize(
    ("feature", "datatype", "sent", "meant"),
    [
        (CHARGES, "BYTES", ["", " ", "7", "7.25", "-1e2", ".5"], [None, None, 7, 7.25, -100.0, 0.5]),
        (
            CHARGES,
            "BYTES",
            ["abc", "nan", "inf", "1_0", "0x1", "٣", "1" * 50],
            ["abc", "nan", "inf", "1_0", "0x1", "٣", "1" * 50],
        ),
        (CHARGES, "FP64", [NAN, None, 2.5], [None, None, 2.5]),
        (
            CHARGES,
            "FP32",
            [118.5999984741211, 0.10000000149011612, 118.60001373291016],
            [118.6, 0.1, 118.60001373291016],
        ),
        (TENURE, "FP64", [3.0, 3.5, float("inf")], [3, 3.5, float("inf")]),
        (TENURE, "BOOL", [True], [True]),
        (Numeric(name="flag", minimum=0, maximum=1, integer=True), "BOOL", [True, False, None], [1, 0, None]),
        (Categorical(name="c", categories=("0", "1")), "BOOL", [True, False, None], ["1", "0", None]),
        (Categorical(name="c", categories=("true", "false")), "BOOL", [True, False], ["true", "false"]),
        (Categorical(name="c", categories=("yes", "no")), "BOOL", [True], [True]),
        (Categorical(name="c", categories=("0", "1")), "FP32", [1.0, NAN], [1, None]),
        (
            Categorical(name="c", categories=("a", "b"), missing=("?",)),
            "BYTES",
            ["a", "?", "", "z"],
            ["a", None, None, "z"],
        ),
        (Categorical(name="c", categories=("a", "")), "BYTES", ["a", ""], ["a", ""]),
    ],
)
def test_an_element_becomes_the_value_that_it_means_or_stays_for_the_contract_to_refuse(feature, datatype, sent, meant):
    found = values_of(feature, datatype, sent)
    assert found == meant
    assert list(map(type, found)) == list(map(type, meant))


def test_ids_make_rows_sticky_and_an_empty_one_is_nobody():
    found = rows([*columns(), tensor("customerID", "BYTES", ["a", ""])])
    assert [row.customer_id for row in found] == ["a", None]
    found = rows([*columns(), tensor("customerID", "INT64", [7, None])])
    assert [row.customer_id for row in found] == [7, None]
    assert [row.customer_id for row in rows(columns())] == [None, None]


@pytest.mark.parametrize(
    ("datatype", "value", "field"),
    [
        ("FP64", 1.0, "customerID.datatype"),
        ("BOOL", True, "customerID.datatype"),
        ("BYTES", "x" * 201, "customerID"),
        ("BYTES", "a\0", "customerID"),
        ("BYTES", "\ud800", "customerID"),
        ("UINT64", 2**63, "customerID"),
    ],
)
def test_an_id_that_is_none_is_named(datatype, value, field):
    found = problems([*columns(), tensor("customerID", datatype, [value, value])])
    assert field in found
    assert found[field].row == (0 if field == "customerID" else None)


def test_a_matrix_may_have_ids_beside_it():
    matrix = tensor("x", "BYTES", ["3", "70.5", "One year", "0"], (1, 4))
    (row,) = rows([matrix, tensor("customerID", "BYTES", ["a"])])
    assert (row.customer_id, row.features["tenure"]) == ("a", 3)


def test_an_id_of_the_prediction_is_for_a_single_row():
    own_id = "0190163d-8694-739b-aea5-966c26f8ad91"
    assert "parameters.prediction_id" in problems(columns(), prediction_id=own_id)
    matrix = tensor("x", "BYTES", ["3", "70.5", "One year", "0"], (1, 4))
    (row,) = rows([matrix], prediction_id=own_id, purpose="test")
    assert (row.prediction_id, row.purpose) == (own_id, "test")
