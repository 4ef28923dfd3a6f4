"""Who is answered by whom: a salted hash of the customer, the same in every process, on every replica, in any language.

To do it elsewhere: take SHA-256 of the UTF-8 bytes of salt, line feed (0x0A) and customer id; read the first eight
bytes as a big-endian unsigned integer; drop its lowest 11 bits; multiply by 2**-53. That is the customer's position,
a double in [0, 1). Customers whose position is below the split are the challenger's.
"""

from __future__ import annotations

from hashlib import sha256

from service.records import Variant


def position(salt: str, customer_id: str) -> float:
    """Where a customer stands in [0, 1): uniform over customers, unrelated between salts.

    >>> round(position("salt", "7590-VHVEG"), 12)
    0.396240725388
    """
    digest = sha256(f"{salt}\n{customer_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) * 2.0**-53


def assign_variant(salt: str, customer_id: str | None, split: float) -> Variant:
    """Assign a customer: sticky; raising the split moves customers to the challenger only.

    Args:
        salt: The experiment's.
        customer_id: Who is scored; None (a request that names nobody) is always the champion's.
        split: The challenger's share of customers, in [0, 1].
    """
    if customer_id is None or split <= 0:
        return "champion"
    return "challenger" if position(salt, customer_id) < split else "champion"
