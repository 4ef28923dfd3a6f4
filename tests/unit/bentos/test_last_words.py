from bentos.last_words import MOST_BYTES, SETTING, leave


def test_the_last_words_replace_earlier_ones(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "log"))
    leave("first, and longer\n")
    leave("PASS churn version 2")
    assert (tmp_path / "log").read_text() == "PASS churn version 2"


def test_they_are_cut_at_what_kubernetes_keeps_and_never_inside_a_letter(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "log"))
    leave("ü" * MOST_BYTES)
    content = (tmp_path / "log").read_bytes()
    assert MOST_BYTES - 2 <= len(content) <= MOST_BYTES
    assert content.decode().endswith("ü …")


def test_without_a_file_nothing_is_written_and_one_that_cannot_be_written_hinders_nobody(tmp_path, monkeypatch):
    monkeypatch.delenv(SETTING, raising=False)
    leave("words")
    monkeypatch.setenv(SETTING, str(tmp_path / "no" / "log"))
    leave("words")
    assert list(tmp_path.iterdir()) == []
