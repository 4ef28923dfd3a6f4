"""Which rows are the holdout: decided by the id alone, so that every model ever trained on the same data shares it."""

from __future__ import annotations

import hashlib

SHARE = 0.2
"""Share of ids that are kept out of training."""

_NAMESPACE = b"gauntlet holdout 1\n"  # changing it changes every holdout: models would no longer be comparable


def is_holdout(row_id: str) -> bool:
    """Whether a row is kept out of training: its id's sha256 falls in the lowest fifth.

    >>> [is_holdout(row_id) for row_id in ("7590-VHVEG", "5575-GNVDE", "3668-QPYBK")]
    [False, False, False]
    """
    digest = hashlib.sha256(_NAMESPACE + row_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < SHARE * 2**64
