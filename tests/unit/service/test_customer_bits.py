"""How often customers come back is estimated from bits that add up, however the rows are spread over workers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.counters.customers import BITS, WAITING_ROWS, CustomerCounter


def counted(customers):
    slots = memoryview(bytearray(8 * (1 + BITS))).cast("d")
    counter = CustomerCounter(slots)
    for customer in customers:
        counter.count([customer])
    counter.settle()
    return np.array(slots)


def repeats(slots):
    """Sum of m^2 over sum of m, as the rules estimate it."""
    return float(np.mean((2 * slots[1:] - slots[0]) ** 2) / slots[0])


@pytest.mark.parametrize("times", [1, 2, 4, 10])
def test_the_estimate_is_near_the_rows_of_a_customer(times):
    slots = counted([f"customer-{i}" for i in range(2000)] * times)
    assert slots[0] == 2000 * times
    assert repeats(slots) == pytest.approx(times, rel=3 * (2 / BITS) ** 0.5)


def test_one_customer_alone_is_told_exactly():
    assert repeats(counted(["somebody"] * 37)) == 37


def test_the_hash_is_the_same_in_every_process():
    # hashlib.blake2b(b"somebody", digest_size=16).hexdigest(), computed apart
    expected = np.unpackbits(np.frombuffer(bytes.fromhex("aa09beec600fe1f19a1842ac74124240"), dtype=np.uint8))
    assert counted(["somebody"])[1:].tolist() == expected.tolist()


@given(st.lists(st.sampled_from(["a", "b", "c", "\ud800", "é"]), max_size=30), st.integers(0, 30))
def test_counts_of_two_workers_add_up_to_those_of_one(customers, cut):
    assert (counted(customers[:cut]) + counted(customers[cut:])).tolist() == counted(customers).tolist()


def test_rows_wait_until_there_are_enough_and_are_counted_once():
    slots = memoryview(bytearray(8 * (1 + BITS))).cast("d")
    counter = CustomerCounter(slots)
    counter.count(["a"] * (WAITING_ROWS - 1))
    assert slots[0] == 0
    counter.count(["a"])
    counter.settle()
    assert slots[0] == WAITING_ROWS
