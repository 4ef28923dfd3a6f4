"""What is committed under grafana/ is what its code makes."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from grafana.__main__ import main
from grafana.generated import GENERATED, differing, write


def test_what_is_committed_is_what_the_code_makes() -> None:
    assert differing() == []
    assert CliRunner().invoke(main, ["--check"]).exit_code == 0


def test_a_file_that_was_changed_by_hand_is_named_and_made_again(tmp_path: Path) -> None:
    write(tmp_path)
    path, text = GENERATED[0]
    (tmp_path / path).write_text(text() + "# by hand\n")
    assert differing(tmp_path) == [path]
    assert write(tmp_path) == [path]
    assert differing(tmp_path) == []


def test_no_path_is_made_twice() -> None:
    assert len({path for path, _ in GENERATED}) == len(GENERATED)
