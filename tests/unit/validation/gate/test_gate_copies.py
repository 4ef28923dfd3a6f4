"""Where else the gate's report is to be written: looked at before it judges, and no verdict hangs on it afterwards."""

from types import SimpleNamespace

import pytest
from report_toys import NOW, report_around

from bentos.errors import InvalidSetting, Unavailable
from bentos.folder import Folder
from bentos.job_summary import SETTING
from bentos.registry import Version
from validation.gate import run as gate
from validation.gate.commands import run_and_print_gate
from validation.gate.defaults import POLICY
from validation.gate.report import CheckResult

REPORT = report_around([CheckResult(name="roc_auc", kind="performance", status="PASS", reason="fine", value=0.9)])


@pytest.fixture
def judged(monkeypatch, tmp_path):
    """Runs the command around a gate that gives one report; gives how often it judged."""
    monkeypatch.delenv(SETTING, raising=False)
    calls = []

    def run(*, html=None, junit=None, meanwhile=lambda: None):
        def run_gate(*_, **__):
            calls.append(1)
            meanwhile()
            return REPORT

        monkeypatch.setattr("validation.gate.run.run_gate", run_gate)
        monkeypatch.setattr("bentos.registry.registry_of", lambda _: None)
        run_and_print_gate(
            "models:/toy/2", against=None, policy=POLICY, html=html, junit=junit, verbose=False,
            folder=Folder(tmp_path / "home"), as_json=True, progress=lambda _: None,
        )  # fmt: skip

    run.calls = calls
    return run


@pytest.mark.parametrize("option", ["html", "junit"])
def test_a_copy_that_cannot_be_written_is_told_before_anything_is_judged(judged, tmp_path, option):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidSetting, match=f"^--{option}: .*file cannot be made"):
        judged(**{option: tmp_path / "file" / "copy"})
    with pytest.raises(InvalidSetting, match=f"^--{option} is .*, a folder; it must be a file"):
        judged(**{option: tmp_path})
    assert judged.calls == []


def test_a_summary_that_cannot_be_written_is_told_before_anything_is_judged(judged, tmp_path, monkeypatch):
    monkeypatch.setenv(SETTING, str(tmp_path / "away" / "summary.md"))
    with pytest.raises(Unavailable, match=SETTING):
        judged()
    assert judged.calls == []


def test_a_copy_that_can_no_longer_be_written_leaves_the_verdict_and_says_so(judged, tmp_path):
    page = tmp_path / "page.html"
    with pytest.raises(Unavailable, match=r"page\.html cannot be written: .*; the verdict stands: PASS$"):
        judged(html=page, meanwhile=page.mkdir)
    assert judged.calls == [1]


def test_a_summary_that_can_no_longer_be_written_leaves_the_verdict_and_says_so(judged, tmp_path, monkeypatch):
    (tmp_path / "job").mkdir()
    summary = tmp_path / "job" / "summary.md"
    monkeypatch.setenv(SETTING, str(summary))

    def goes_away():
        summary.unlink()
        summary.parent.rmdir()

    with pytest.raises(Unavailable, match=f"{SETTING}.* cannot be written: .*; the verdict stands: PASS$"):
        judged(meanwhile=goes_away)


def test_a_folder_that_cannot_keep_reports_is_told_before_anything_is_judged(tmp_path):
    (tmp_path / "reports").write_text("")
    with pytest.raises(InvalidSetting, match=r"^--folder: .*reports cannot be made"):
        gate.run_gate(
            "models:/toy/2", against=None, policy_path=POLICY, registry=None, folder=Folder(tmp_path), now=NOW
        )


def test_a_report_that_can_no_longer_be_kept_in_the_folder_leaves_the_verdict_and_says_so(tmp_path, monkeypatch):
    folder, kept = Folder(tmp_path / "home"), []
    folder.path.mkdir()
    folder.reports.write_text("")
    registry = SimpleNamespace(attach=lambda *_, **__: None, tag=lambda *_, **tags: kept.append(tags["gate_verdict"]))
    standing = SimpleNamespace(version=Version(name="toy", number="2", digest="sha256:a", run="r"))
    monkeypatch.setattr(gate, "settle", lambda *_, **__: None)
    with pytest.raises(Unavailable, match=r"\.json cannot be written: .*; the verdict stands: PASS$"):
        gate._keep(REPORT, standing, registry, folder, tmp_path, lambda _: None)
    assert kept == ["PASS"]
