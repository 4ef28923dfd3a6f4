import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentos.errors import InvalidSetting
from service.files.sharing import Shard, parse_shard


@given(st.integers(0, 10**12), st.integers(1, 200))
def test_the_shards_hold_every_row_once_and_differ_by_one_row_at_most(total, count):
    ranges = [Shard(index, count).rows_of(total) for index in range(count)]
    assert [start for start, _ in ranges] == [0, *(stop for _, stop in ranges[:-1])]
    assert ranges[-1][1] == total
    sizes = [stop - start for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(
    ("text", "shard"),
    [("0/1", Shard(0, 1)), ("7/8", Shard(7, 8)), ("$INDEX/8", Shard(3, 8)), ("04/10", Shard(4, 10))],
)
def test_a_shard_is_an_index_from_0_and_a_count(text, shard):
    assert parse_shard(text, {"INDEX": "3"}) == shard


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("8/8", "the index below it, from 0"),
        ("0/0", "the count must be from 1"),
        ("0/100000", "to 99999"),
        ("1", "such as 0/8"),
        ("-1/8", "such as 0/8"),
        ("1/8/2", "such as 0/8"),
        ("1/8\n", "such as 0/8"),
        ("a/8", "must be a whole number"),
        ("$NOBODY/8", "has no NOBODY"),
        ("$WORD/8", "its index is 'x' and must be a whole number"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text, reason):
    with pytest.raises(InvalidSetting, match=reason):
        parse_shard(text, {"WORD": "x"})
