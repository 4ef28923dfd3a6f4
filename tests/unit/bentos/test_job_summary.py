import pytest

from bentos.errors import Unavailable
from bentos.job_summary import SETTING, add_to_summary, check_summary, table


def test_sections_are_added_one_after_the_other(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "summary.md"))
    add_to_summary("## One\n")
    add_to_summary("## Two")
    assert (tmp_path / "summary.md").read_text() == "## One\n\n## Two\n\n"


def test_outside_a_ci_job_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)
    monkeypatch.chdir(tmp_path)
    add_to_summary("## One")
    assert list(tmp_path.iterdir()) == []


def test_a_summary_that_cannot_be_written_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "away" / "summary.md"))
    with pytest.raises(Unavailable, match=SETTING):
        add_to_summary("## One")


def test_whether_a_summary_can_be_written_is_told_before_and_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "summary.md"))
    add_to_summary("## One")
    check_summary()
    assert (tmp_path / "summary.md").read_text() == "## One\n\n"
    monkeypatch.setenv(SETTING, str(tmp_path / "away" / "summary.md"))
    with pytest.raises(Unavailable, match=SETTING):
        check_summary()


def test_a_cell_stays_in_its_line():
    assert table(("a",), [("one\ntwo | three",)]).splitlines()[-1] == "| one two \\| three |"
