import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.files import ids as module
from service.files.ids import hashes, read_ids
from service.files.reading import open_source

TEXT = st.text(st.characters(codec="utf-8"), max_size=6)
SOME = st.lists(st.none() | st.sampled_from(["", " ", "a", "b", "ab", "a\0", "é"]) | TEXT, max_size=40)


def repeated_in(values):
    """The rows whose id an earlier row has, the obvious way; blank and missing ids are nobody's."""
    seen, found = set(), []
    for row, value in enumerate(values):
        if value is None or (isinstance(value, str) and not value.strip(" \t\n\v\f\r")):
            continue
        if value in seen:
            found.append(row)
        seen.add(value)
    return found


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ids")

    def read(values, kind=None):
        pq.write_table(pa.table({"id": pa.array(values, kind)}), folder / "in.parquet", row_group_size=7)
        return read_ids(open_source(folder / "in.parquet", keep=("id",)), "id", beside=folder)

    return read


@settings(max_examples=40)
@given(values=SOME)
def test_rows_whose_id_was_used_above_are_found(read, values):
    found = read(values, pa.string())
    assert found.n_rows == len(values)
    assert found.repeated.tolist() == repeated_in(values)


@settings(max_examples=40)
@given(values=st.lists(st.none() | st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5), max_size=30))
def test_so_are_numbers(read, values):
    assert read(values, pa.int64()).repeated.tolist() == repeated_in(values)


def test_ids_whose_hashes_are_equal_are_compared_themselves(read, monkeypatch):
    monkeypatch.setattr(module, "hashes", lambda ids: np.full(len(ids), 7, dtype=np.uint64))
    assert read(["a", "b", "c", "b", None]).repeated.tolist() == [3]


@given(TEXT, SOME, st.sampled_from([pa.string(), pa.large_string()]))
def test_an_id_has_one_hash_whatever_stands_around_it(text, others, kind):
    alone = hashes(pa.array([text], kind))[0]
    batch = pa.array(["x", *others, text, *others], kind)
    assert hashes(batch)[len(others) + 1] == alone
    assert hashes(batch.slice(1))[len(others)] == alone


def test_hashes_of_like_ids_spread_over_all_files():
    found = hashes(pa.array([f"{i:07d}-ABCDE" for i in range(100_000)]))
    assert len(np.unique(found)) == 100_000
    shares = np.bincount((found >> np.uint64(58)).astype(int), minlength=64) / 100_000
    assert 0.5 / 64 < shares.min() < shares.max() < 2 / 64
