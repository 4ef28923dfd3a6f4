from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from training.holdout import SHARE, is_holdout


def test_an_id_falls_where_it_always_fell() -> None:
    # Pinned: if this changes, models trained before and after are judged on different customers.
    held = [number for number in range(40) if is_holdout(f"customer-{number}")]
    assert held == [2, 4, 5, 6, 9, 29, 31]


@given(st.text())
def test_any_text_is_an_id(row_id: str) -> None:
    assert is_holdout(row_id) in (True, False)


def test_the_share_is_a_fifth() -> None:
    held = sum(is_holdout(f"customer-{number}") for number in range(20_000))
    assert abs(held / 20_000 - SHARE) < 0.0115  # 4 standard deviations


def test_another_process_agrees() -> None:
    ids = [f"id-{number}" for number in range(50)]
    program = f"from training.holdout import is_holdout; print([is_holdout(i) for i in {ids!r}])"
    answered = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert answered.strip() == str([is_holdout(row_id) for row_id in ids])
