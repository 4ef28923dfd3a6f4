"""Arrow columns encode as `Encoder.encode_row` does, and refuse what it refuses, whatever type the file gave them."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.artifact import Categorical, Contract, Encoder, Labels, Numeric
from bentos.errors import InvalidFeatures
from service.files.encoding import BatchEncoder, problems_of, type_problem

FEATURES = (
    Numeric(name="months", minimum=0, maximum=72, integer=True),
    Numeric(name="visits", minimum=-(2.0**53), maximum=2.0**53, integer=True, missing=("none",), fill=2),
    Numeric(name="charge", minimum=-5.5, maximum=250),
    Numeric(name="total", minimum=0, maximum=9000, missing=("", " "), fill=0.1),
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
ENCODER, BATCHES = Encoder(CONTRACT), BatchEncoder(CONTRACT)
TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()))


def allowed_columns(feature):
    """Types that a file may give a feature, with values that are all allowed."""
    missing = [None, *feature.missing] if feature.missing else []
    null = st.none() if feature.missing else st.nothing()
    if isinstance(feature, Categorical):
        texts = [(kind, st.sampled_from([*feature.categories, *missing])) for kind in TEXTS]
        digits = [int(category) for category in feature.categories if category.isdigit()]
        numbers = st.sampled_from(digits) if digits else st.nothing()
        return texts + ([(pa.int64(), numbers), (pa.float64(), numbers.map(float))] if digits else [])
    whole = st.integers(math.ceil(feature.minimum), math.floor(feature.maximum))
    numbers = whole.map(float) if feature.integer else st.floats(feature.minimum, feature.maximum)
    spelled = numbers.map(repr) | whole.map(str) | (st.sampled_from(missing[1:]) if missing else st.nothing())
    nan = st.just(math.nan) if missing else st.nothing()
    return [
        (pa.int64(), null | whole),
        (pa.float64(), null | nan | numbers),
        (pa.float32(), null | st.integers(1, 70).map(float)),
        (pa.string(), null | spelled),
    ]


def any_columns(feature):
    """Types that a file may give a feature, with values of which many are not allowed."""
    if isinstance(feature, Categorical):
        texts = st.none() | st.sampled_from([*feature.categories, "True", "weekly"]) | TEXT
        numbers = st.sampled_from([None, 0.0, 1.0, 0.5, math.nan, -0.0])
        return [
            *((kind, texts) for kind in TEXTS),
            (pa.int64(), st.none() | st.integers(-2, 3)),
            (pa.float64(), numbers),
            (pa.bool_(), st.none() | st.booleans()),
            (pa.null(), st.none()),
        ]
    low, high = math.ceil(feature.minimum), math.floor(feature.maximum)
    near = st.sampled_from([low - 1, low, high, high + 1])
    spelled = st.sampled_from(["1_0", "inf", "nan", "+3", " 7 ", "1e1", "", " ", "none"]) | TEXT
    return [
        (pa.int64(), st.none() | near | st.integers(-(2**63), 2**63 - 1)),
        (pa.uint64(), st.none() | st.integers(0, 2**64 - 1) | st.integers(0, 80)),
        (pa.int8(), st.none() | st.integers(-128, 127)),
        (pa.float64(), st.none() | near.map(float) | st.floats()),
        (pa.float32(), st.none() | st.floats(width=32)),
        (pa.large_string(), st.none() | near.map(str) | st.floats().map(repr) | spelled),
        (pa.null(), st.none()),
    ]


@st.composite
def batches(draw):
    """A record batch with a column for every feature, each of one type; two of them may hold anything."""
    n_rows = draw(st.integers(1, 6))
    odd = draw(st.sets(st.sampled_from([feature.name for feature in FEATURES]), max_size=2))
    columns = {}
    for feature in FEATURES:
        kind, values = draw(st.sampled_from((any_columns if feature.name in odd else allowed_columns)(feature)))
        columns[feature.name] = pa.array(draw(st.lists(values, min_size=n_rows, max_size=n_rows)), kind)
    return pa.record_batch(columns)


def as_requested(feature, value):
    """What a request would say for a file's value: null for NaN, and a number for a text that spells one."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(feature, Categorical) or not isinstance(value, str) or value in feature.missing:
        return value
    try:
        number = math.nan if "_" in value else float(value)
    except ValueError:
        return value
    return value if math.isnan(number) else number


@settings(max_examples=200)
@given(batches(), st.integers(0, 5))
def test_columns_encode_and_refuse_as_one_row_does(batch, offset):
    check_alike(batch.slice(min(offset, batch.num_rows - 1)))


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("visits", pa.array([2**53, 2**53 + 1, -(2**53), -(2**53) - 1, None])),
        ("visits", pa.array([2**53, 2**64 - 1, 0], pa.uint64())),
        ("months", pa.array([1.5, 2.0, -0.0, 72.0, 72.5])),
        ("months", pa.array(["1.5", "1_0", "1e1", " 7 ", "٣", ""])),
        ("months", pa.array([0, 72, 73, -1], pa.int8())),
        ("charge", pa.array([-5.5, 250, math.nextafter(250, 251), math.inf, -math.inf, math.nan])),
        ("total", pa.array([math.nan, None, 9000.0])),
        ("total", pa.array(["", " ", "  ", "nan", None, "9e3"])),
    ],
)
def test_so_do_numbers_at_the_edge_of_what_is_allowed(name, column):
    plain = {key: pa.array([value] * len(column)) for key, value in GOOD.items()}
    check_alike(pa.record_batch({**plain, name: column}))


def check_alike(batch):
    matrix = np.full((batch.num_rows, BATCHES.width), 9, dtype=np.float32)
    encoded = BATCHES.encode(batch, matrix)
    told = problems_of(batch, encoded, 1000)
    for row, values in enumerate(batch.to_pylist()):
        features = {feature.name: as_requested(feature, values[feature.name]) for feature in FEATURES}
        expected, refused = encode_row(features)
        assert [problem.field for problem in told if problem.row == 1000 + row] == refused
        assert encoded.is_bad[row] == bool(refused)
        assert refused or matrix[row].tobytes() == expected


def test_true_and_one_are_told_apart_from_batch_to_batch():
    for column, bad in ((pa.array([1, 0]), False), (pa.array([True, False]), True), (pa.array([1.0, 0.0]), False)):
        assert encode(senior=column)[0].is_bad.tolist() == [bad, bad]


def encode_row(features):
    """What one row's encoder makes of features: bytes, and the names of those that it refuses."""
    try:
        return ENCODER.encode_row(features).tobytes(), []
    except InvalidFeatures as e:
        return b"", [problem.field for problem in e.problems]


GOOD = {"months": 1, "visits": 2, "charge": 3.5, "total": 4.0, "plan": "yearly", "senior": "0", "region": "west"}


def encode(**columns):
    """Encode good rows with some columns replaced; gives the rows that are bad and the matrix."""
    n_rows = len(next(iter(columns.values())))
    plain = {name: pa.array([value] * n_rows) for name, value in GOOD.items()}
    batch = pa.record_batch({**plain, **columns})
    matrix = np.empty((n_rows, BATCHES.width), dtype=np.float32)
    encoded = BATCHES.encode(batch, matrix)
    return encoded, matrix, problems_of(batch, encoded, 0)


def test_decimals_are_numbers():
    encoded, matrix, _ = encode(charge=pa.array([Decimal("29.85"), Decimal("251.00")], pa.decimal128(9, 2)))
    assert encoded.is_bad.tolist() == [False, True]
    assert matrix[0, ENCODER.columns.index("charge")] == np.float32(29.85)


def test_numbers_in_a_dictionary_are_numbers():
    encoded, matrix, _ = encode(charge=pa.array([1.5, 2.5, 1.5]).dictionary_encode())
    assert matrix[:, ENCODER.columns.index("charge")].tolist() == [1.5, 2.5, 1.5]
    assert not encoded.is_bad.any()


def test_text_that_is_no_utf8_is_a_bad_value():
    broken = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 5, 6], np.int32)), pa.py_buffer(b"north\xff")]
    )
    encoded, _, (problem,) = encode(region=broken)
    assert encoded.is_bad.tolist() == [False, True]
    assert (problem.row, problem.field) == (1, "region")


def test_a_value_of_the_dictionary_that_no_row_holds_is_nobody_s_problem():
    column = pa.DictionaryArray.from_arrays(pa.array([0, 0], pa.int32()), pa.array(["monthly", "weekly"]))
    assert not encode(plan=column)[0].is_bad.any()


def test_a_problem_says_how_a_file_may_spell_missing():
    _, _, (problem,) = encode(total=pa.array(["?"]))
    assert str(problem) == (
        "row 0, total: '?' is not allowed; it must be a number from 0 to 9000, or null (a file may spell it '' or ' ')"
    )


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.binary(), pa.list_(pa.int8()), pa.date32()], ids=str)
def test_a_column_whose_type_is_neither_text_nor_number_is_refused_by_name(feature, kind):
    problem = type_problem(feature, kind)
    assert (problem.field, problem.value) == (feature.name, f"a column of type {kind}")


def test_truth_values_are_no_numbers():
    assert type_problem(FEATURES[0], pa.bool_()).field == "months"
    assert type_problem(FEATURES[4], pa.bool_()) is None
