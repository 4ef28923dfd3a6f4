"""Where a service answers, as its folder says it."""

import pytest

from bentos.errors import BadInput, NotFound
from service.whereabouts import Whereabouts, read_whereabouts, write_whereabouts


def test_what_was_left_is_what_is_read(tmp_path):
    found = Whereabouts(scoring="http://127.0.0.1:3001", judge="http://127.0.0.1:3002")
    write_whereabouts(tmp_path / "serving.json", found)
    assert read_whereabouts(tmp_path / "serving.json") == found


def test_a_folder_that_nobody_serves_from_says_what_to_do(tmp_path):
    with pytest.raises(NotFound, match="gauntlet serve"):
        read_whereabouts(tmp_path / "serving.json")


def test_nonsense_is_named(tmp_path):
    (tmp_path / "serving.json").write_text('{"scoring": 1}')
    with pytest.raises(BadInput, match=r"serving\.json .*scoring"):
        read_whereabouts(tmp_path / "serving.json")
