"""Who is answered by whom: a salted hash of the customer, the same in every process, on every replica, in any language.

To do it elsewhere: take SHA-256 of the UTF-8 bytes of salt, line feed (0x0A) and customer id; read the first eight
bytes as a big-endian unsigned integer; drop its lowest 11 bits; multiply by 2**-53. That is the customer's position,
a double in [0, 1). Customers whose position is below the split are the challenger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from service.prediction_log.records import Variant


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


def is_in_share(salt: str, purpose: str, customer_id: str, share: float) -> bool:
    """Whether a customer is in a share that is drawn by a hash of its own: independent of the split and of the others.

    Args:
        salt: Of this draw.
        purpose: `sample`, `holdout` or `no-treatment`; the salt becomes `SALT/PURPOSE`.
        customer_id: Who is scored.
        share: In [0, 1].
    """
    return share > 0 and (share >= 1 or position(f"{salt}/{purpose}", customer_id) < share)


def trial_of(experiments: Sequence[str], customer_id: str) -> int:
    """Which of several trials a customer falls to: even, sticky, and independent of the split.

    Each trial's position of the customer is taken under the salt `EXPERIMENT/trial`, and the highest wins (rendezvous
    hashing): where a trial ends, its own customers fall to the others and nobody else moves.

    Args:
        experiments: The trials' experiment ids.
        customer_id: Who is scored.

    Returns:
        A place in `experiments`.
    """
    return max(range(len(experiments)), key=lambda i: position(f"{experiments[i]}/trial", customer_id))
