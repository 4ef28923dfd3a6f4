"""The bench of files as a test: it runs through, and its memory does not grow with the rows."""

from __future__ import annotations

import re

import pytest

from tests.bench.score_file import main

pytestmark = pytest.mark.bench


@pytest.mark.timeout(1200)
def test_files_of_any_length_take_the_same_memory(capsys):
    assert main(["--rows", "150000", "600000", "--rounds", "1"]) == 0
    said = capsys.readouterr().out
    for model in ("forest", "boosting"):
        small, large = (int(peak) for peak in re.findall(rf"^\| {model} \|.* (\d+) \|$", said, re.M)[:2])
        assert large < small + 30
