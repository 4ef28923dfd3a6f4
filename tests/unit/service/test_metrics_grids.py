"""Bins: live rows and probabilities fall where training counted them, for every model at once."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving_toys import CONTRACT, REFERENCE

from bentos.artifact import Binned, Encoder
from service.counters.features import ROWS, WAITING, FeatureGrid
from service.counters.rows import WAITING_ROWS, RowCounter, is_whole, settled
from service.counters.scores import BUCKETS, ScoreGrid
from training.reference import reference_of

RNG = np.random.default_rng(7)


def customers(n, rng=RNG):
    charges = np.where(rng.random(n) < 0.2, None, rng.integers(0, 100000, n) / 100)
    return pd.DataFrame(
        {
            "tenure": rng.integers(0, 73, n).astype(float),
            "charges": charges.astype(float),
            "contract": rng.choice(["Month-to-month", "One year", "Two year"], n),
            "senior": rng.choice(["0", "1"], n),
        }
    )


def encoded(frame):
    columns = {name: [None if pd.isna(v) else v for v in frame[name].tolist()] for name in frame}
    return Encoder(CONTRACT).encode_columns(columns)


def counted(grid, batches):
    """What a grid's slots say after batches of rows, as floats."""
    slots = memoryview(bytearray(8 * grid.size)).cast("d")
    counter = RowCounter(grid, slots)
    for rows in batches:
        counter.count(rows)
    return settled(grid, 0, bytes(slots)).tolist()


def grid_of(*references):
    return FeatureGrid("features", CONTRACT, tuple((f"toy:{i}", one) for i, one in enumerate(references, 1)))


@pytest.mark.parametrize("sizes", [[500], [1] * 200, [3, 64, 1, 65, 63, 129, 2]])
def test_rows_fall_into_the_bins_in_which_training_counted_them(sizes):
    frames = [customers(n) for n in sizes]
    everyone = pd.concat(frames)
    reference = reference_of(CONTRACT, everyone, RNG.random(len(everyone)))
    grid = grid_of(reference)
    values = counted(grid, [encoded(frame) for frame in frames])
    for binned in reference.features:
        assert grid.bins(binned, values) == dict(zip(binned.bins, binned.counts, strict=True)), binned.name


def test_two_models_with_other_edges_are_each_shown_in_their_own_bins():
    young, old = customers(300), customers(300)
    old["charges"] = old["charges"] / 7
    references = [reference_of(CONTRACT, frame, RNG.random(300)) for frame in (young, old)]
    assert references[0].features[1].edges != references[1].features[1].edges
    grid = grid_of(*references)
    for frame, reference in zip((young, old), references, strict=True):
        values = counted(grid, [encoded(frame)])
        assert [list(grid.bins(b, values).values()) for b in reference.features] == [
            list(b.counts) for b in reference.features
        ]


def test_an_unseen_category_is_the_rows_that_no_category_explains():
    frame = customers(10)
    frame["contract"] = ["Two year"] * 4 + ["Nobody knows"] * 6
    grid = grid_of(REFERENCE)
    (binned,) = [b for b in REFERENCE.features if b.name == "contract"]
    assert grid.bins(binned, counted(grid, [encoded(frame)])) == {
        "Month-to-month": 0,
        "One year": 0,
        "Two year": 4,
        "unseen": 6,
    }


def test_the_sum_above_the_minimum_leaves_missing_values_out():
    frame = customers(50)
    grid = grid_of(REFERENCE)
    values = counted(grid, [encoded(frame)])
    sums = {number.name: number.above_minimum(values) for number in grid.numbers}
    assert sums == pytest.approx({"tenure": frame["tenure"].sum(), "charges": frame["charges"].sum()}, rel=1e-6)


def test_rows_that_wait_survive_the_process_that_counted_them():
    grid, rows = grid_of(REFERENCE), encoded(customers(WAITING_ROWS - 1))
    slots = memoryview(bytearray(8 * grid.size)).cast("d")
    RowCounter(grid, slots).count(rows)
    assert slots[0] == 0
    RowCounter(grid, slots)
    assert slots[0] == len(rows)


SCORES = Binned(name="score", edges=(0.25, 0.3, 0.5), bins=("a", "b", "c", "d"), counts=(1, 1, 1, 1))


class Peeking(np.ndarray):
    """Rows that look at the slots each time they are summed, which is amid their being counted."""

    seen: list[bytes]
    slots: memoryview

    def __array_finalize__(self, made_from):
        self.seen, self.slots = getattr(made_from, "seen", []), getattr(made_from, "slots", None)

    def sum(self, *args, **kwargs):
        self.seen.append(bytes(self.slots))
        return np.asarray(self).sum(*args, **kwargs)


@pytest.fixture
def peeked():
    """A grid, its slots before rows were counted, amid it, and behind it, where one more waits."""
    grid = grid_of(REFERENCE)
    slots = memoryview(bytearray(8 * grid.size)).cast("d")
    counter, rows = RowCounter(grid, slots), encoded(customers(WAITING_ROWS + 1)).view(Peeking)
    rows.seen, rows.slots = [], slots
    counter.count(encoded(customers(2)))
    before = bytes(slots)
    counter.count(rows)
    after = bytes(slots)
    counter.count(encoded(customers(1)))
    return grid, before, rows.seen, after, bytes(slots)


def test_who_reads_slots_while_rows_are_counted_into_them_knows_it(peeked):
    _, before, amid, after, with_another = peeked
    assert amid[0] != amid[1]
    for one in amid:
        assert not any(is_whole(0, *pair) for pair in ((one, one), (before, one), (one, after)))
    assert not is_whole(0, before, after)
    assert is_whole(0, before, before)
    assert is_whole(0, after, with_another)


def test_who_starts_where_one_was_killed_while_counting_counts_on(peeked):
    grid, before, amid, *_ = peeked
    of_two_that_wait = memoryview(bytearray(before)).cast("d")
    of_two_that_wait[WAITING] = -3
    for killed in (*amid, of_two_that_wait):
        slots = memoryview(bytearray(killed)).cast("d")
        RowCounter(grid, slots).count(encoded(customers(1)))
        assert (slots[ROWS], slots[WAITING]) == (2, 1)


@given(st.lists(st.one_of(st.sampled_from([0.0, 0.05, 0.25, 0.3, 0.5, 0.95, 1.0]), st.floats(0, 1)), max_size=40))
def test_probabilities_are_in_bins_that_begin_and_buckets_that_end_with_their_edge(probabilities):
    grid = ScoreGrid("scores", "toy:1", SCORES)
    values = [0.0] * grid.size
    for probability in probabilities:
        values[grid.start("challenger") + grid.cell(probability)] += 1
    counted = [sum(p <= edge for p in probabilities) for edge in BUCKETS] + [len(probabilities)]
    assert grid.buckets(values, "challenger") == counted
    assert set(grid.buckets(values, "champion")) == {0}
    edges = (-math.inf, *SCORES.edges, math.inf)
    expected = [sum(edges[i] <= p < edges[i + 1] for p in probabilities) for i in range(4)]
    assert grid.bins(values) == expected


def test_the_roles_of_a_model_are_apart_in_buckets_and_sums_and_together_in_bins():
    grid = ScoreGrid("scores", "toy:1", SCORES)
    values = [0.0] * grid.size
    for variant, probability in (("champion", 0.2), ("challenger", 0.9), ("challenger", 0.2)):
        values[grid.start(variant) + grid.cell(probability)] += 1
        values[grid.total_at(variant)] += probability
    assert [grid.buckets(values, variant)[-1] for variant in ("champion", "challenger")] == [1, 2]
    assert [grid.total(values, variant) for variant in ("champion", "challenger")] == [0.2, pytest.approx(1.1)]
    assert sum(grid.bins(values)) == 3


def test_a_contract_without_numbers_is_counted_too():
    import msgspec

    contract = msgspec.structs.replace(CONTRACT, features=CONTRACT.features[2:])
    reference = SimpleNamespace(features=REFERENCE.features[2:])
    grid = FeatureGrid("features", contract, (("toy:1", reference),))
    rows = np.tile(np.array([[1, 0, 0, 0, 1]], dtype=np.float32), (70, 1))
    assert grid.bins(REFERENCE.features[3], counted(grid, [rows])) == {"0": 0, "1": 70, "unseen": 0}
