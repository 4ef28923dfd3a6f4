"""How often the same customers come back, without keeping who they are: the bits of a hash of each, added up.

A customer who is scored many times is no new observation, so drift has to know `sum of m^2 / sum of m` over customers
with m rows each. Of a bit that is set for half of the customers, twice the rows that have it less all rows is a sum of
+m and -m; its square is on average the sum of m^2 (Alon, Matias, Szegedy 1996: the tug-of-war sketch), and the mean
over many bits is close to it. Sums of bits add up over workers, replicas and time as every counter does, so the
estimate holds for any window and any number of replicas, and nobody can be found in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np

from service import metric_names as names
from service.counters.layout import CounterFamily
from service.metric_names import HASH_BITS as BITS

FAMILIES = (
    CounterFamily(names.CUSTOMER_ROWS),
    CounterFamily(names.CUSTOMER_BITS, ("bit",), tuple((str(bit),) for bit in range(BITS))),
)
"""Rows that named a customer, and of them those whose customer has the bit: one behind the other."""


_EMPTY = blake2b(digest_size=BITS // 8)
"""Copied for each customer: reading its arguments again costs as much as hashing."""

WAITING_ROWS = 64
"""How many rows are counted together: one by one they cost three times as much."""


class CustomerCounter:
    """Counts who came. Some rows wait in the process's own memory, as an estimate can do without the last of them."""

    def __init__(self, slots: memoryview[float]) -> None:
        """Prepare what does not change.

        Args:
            slots: Those of `FAMILIES`, of all the worker's.
        """
        self._slots = slots
        self._bits = np.frombuffer(slots.cast("B"), dtype=np.float64)[1:]
        self._waiting: list[str] = []

    def count(self, customers: Iterable[str]) -> None:
        """Count rows by whom they named, now or soon."""
        self._waiting.extend(customers)
        if len(self._waiting) >= WAITING_ROWS:
            self.settle()

    def settle(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        digests = b"".join([_hash_of(one) for one in self._waiting])
        bits = np.unpackbits(np.frombuffer(digests, dtype=np.uint8)).reshape(-1, BITS)
        self._bits += bits.sum(axis=0, dtype=np.float64)
        self._slots[0] += len(self._waiting)
        self._waiting.clear()


def _hash_of(customer: str) -> bytes:
    hashed = _EMPTY.copy()
    hashed.update(customer.encode("utf-8", "surrogatepass"))
    return hashed.digest()
