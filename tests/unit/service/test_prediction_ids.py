"""Prediction ids are UUIDv7: they carry their time, sort by it, and a client's own are recognised."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ids import make_id, normalized

MOMENTS = st.integers(min_value=0, max_value=2**47 * 1000)
RANDOMNESS = st.binary(min_size=8, max_size=8)


def test_the_rfcs_example_moment_gives_its_first_48_bits():
    # RFC 9562, appendix A.6: 2022-02-22 19:22:22 UTC is 017F22E2-79B0.
    assert make_id(1645557742000000, bytes(8)) == "017f22e2-79b0-7000-8000-000000000000"


@given(MOMENTS, RANDOMNESS)
def test_an_id_is_a_uuid_of_version_7(at, randomness):
    made = uuid.UUID(make_id(at, randomness))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1000


@given(MOMENTS, MOMENTS, RANDOMNESS)
def test_ids_sort_by_time(one, other, randomness):
    early, late = sorted((one, other))
    assert make_id(early, randomness) <= make_id(late, randomness)


@given(MOMENTS, RANDOMNESS)
def test_our_own_ids_are_recognised_in_either_case(at, randomness):
    made = make_id(at, randomness)
    assert normalized(made.upper()) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        "017f22e2",
        str(uuid.UUID(int=0)),
        "017f22e2-79b0-4000-8000-000000000000",
        "017f22e279b070008000000000000000x",
    ],
)
def test_other_texts_are_not(text):
    assert normalized(text) is None
