"""The spool's bench as a test: it runs through, and says what every way to write costs."""

from __future__ import annotations

import pytest

from tests.bench.spool import BATCHES, POLICIES, main

pytestmark = pytest.mark.bench


def test_every_way_to_write_is_measured(capsys, tmp_path):
    assert main(["--folder", str(tmp_path), "--seconds", "2", "--rounds", "3"]) == 0
    said = capsys.readouterr().out
    assert all(f"| append_all of {batch}, {fsync} |" in said for batch in BATCHES for fsync in POLICIES)
    assert list(tmp_path.iterdir()) == []
