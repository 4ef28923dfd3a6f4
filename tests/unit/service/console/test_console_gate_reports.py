"""Where gate reports are found, which one is chosen, and what is shown of one."""

from datetime import timedelta
from pathlib import Path

import pytest
from console_toys import browser, keys_in
from model_toys import FAILED, MODEL, NOISE, PASSED, FakeRegistry, report_of, sources_of
from report_toys import NOW

from bentos.blessings import ATTEMPTS_TAG
from bentos.errors import NotFound, Unavailable
from service.console.gate.page import PAGE, chosen_in, send_report
from service.console.gate.reading import _Shelf, judged_of, read_report, read_reports
from service.console.gate.showing import check_rows, head_of, not_passed, pictures_of, row_of, still_chosen, topics_of
from service.console.shell import page_at
from validation.gate.figures import figures_of
from validation.gate.page import to_html
from validation.gate.report import dump_report


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def text_of(component) -> str:
    """Everything that a component says, one after another."""
    if component is None or isinstance(component, str):
        return component or ""
    if isinstance(component, list | tuple):
        return " ".join(text_of(part) for part in component)
    return text_of(getattr(component, "children", None))


# ---- where they lie --------------------------------------------------------------------------------------------------


def test_reports_come_from_the_runs_newest_first(registry: FakeRegistry, tmp_path: Path) -> None:
    first, second = registry.add_version("1"), registry.add_version("2")
    registry.add_report(first, report_of("1", FAILED))
    registry.add_report(second, report_of("2", judged_at=NOW + timedelta(hours=1)))
    reports = read_reports(sources_of(registry, tmp_path))
    assert [(one.version, one.verdict) for one in reports.judged] == [("2", "PASS"), ("1", "FAIL")]
    assert reports.judged[1].reason == "fairness[tpr, plan]: 0.3 must be at most 0.1"
    assert reports.unreadable == ()


def test_a_report_that_lies_in_the_folder_too_stands_once_and_is_not_fetched(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    version = registry.add_version("2")
    name = registry.add_report(version, report_of())
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{name}.json").write_bytes(dump_report(report_of()))
    registry.contents[version.run, f"gate/{name}.json"] = b"not asked for"
    found = read_reports(sources_of(registry, tmp_path))
    assert [one.name for one in found.judged] == [name]


def test_a_folders_reports_of_another_model_stay_outside(registry: FakeRegistry, tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    for name in (f"gate-{MODEL}-eu-1-20260301T120000.000000Z", "plan", f"gate-{MODEL}-3-20260301T120000.000000Z"):
        (tmp_path / "reports" / f"{name}.json").write_bytes(dump_report(report_of("3")))
    assert [one.version for one in read_reports(sources_of(registry, tmp_path)).judged] == ["3"]


def test_a_version_that_was_never_judged_is_not_asked_for_reports(registry: FakeRegistry, tmp_path: Path) -> None:
    version = registry.add_version("1", tags={})
    registry.add_report(version, report_of("1"))
    assert read_reports(sources_of(registry, tmp_path)).judged == ()


def test_a_file_that_is_no_report_is_named_and_hides_no_other(registry: FakeRegistry, tmp_path: Path) -> None:
    version = registry.add_version("1")
    registry.add_report(version, report_of("1"))
    registry.contents[version.run, "gate/gate-toy-1-broken.json"] = b"{}"
    found = read_reports(sources_of(registry, tmp_path))
    assert len(found.judged) == 1
    assert len(found.unreadable) == 1
    assert "gate-toy-1-broken is no gate report" in found.unreadable[0]


def test_a_report_in_the_folder_that_cannot_be_read_is_named(registry: FakeRegistry, tmp_path: Path) -> None:
    name = f"gate-{MODEL}-3-20260301T120000.000000Z"
    (tmp_path / "reports" / f"{name}.json").mkdir(parents=True)
    assert f"{name}.json cannot be read" in read_reports(sources_of(registry, tmp_path)).unreadable[0]


def test_a_report_is_opened_once_for_the_list_and_whole_by_its_name(registry: FakeRegistry, tmp_path: Path) -> None:
    name = registry.add_report(registry.add_version("2"), report_of("2", FAILED))
    sources = sources_of(registry, tmp_path)
    read_reports(sources)
    read_reports(sources)
    assert registry.asked == ["files of 2", f"gate/{name}.json"]
    assert read_report(sources, name) == report_of("2", FAILED)
    with pytest.raises(NotFound, match="there is no gate report other"):
        read_report(sources, "other")


def test_a_version_is_asked_for_reports_again_only_while_a_gate_run_has_left_none(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    done, under_way = registry.add_version("1"), registry.add_version("2", tags={ATTEMPTS_TAG: "2"})
    for version in (done, under_way):
        registry.add_report(version, report_of(version.number))
    shelf = _Shelf(sources_of(registry, tmp_path))
    shelf.read()
    registry.asked.clear()
    registry.add_report(under_way, report_of("2", FAILED, judged_at=NOW + timedelta(hours=1)))
    assert shelf.read().judged[0].verdict == "FAIL"
    assert [asked for asked in registry.asked if asked.startswith("files")] == ["files of 2"]
    registry.asked.clear()
    shelf.read()
    assert registry.asked == []


# ---- which one -------------------------------------------------------------------------------------------------------


def test_an_address_chooses_by_name_by_version_or_the_newest(registry: FakeRegistry, tmp_path: Path) -> None:
    first, second = registry.add_version("1"), registry.add_version("2")
    old = registry.add_report(first, report_of("1"))
    registry.add_report(first, report_of("1", judged_at=NOW - timedelta(days=1)))
    newest = registry.add_report(second, report_of("2", judged_at=NOW + timedelta(days=1)))
    reports = read_reports(sources_of(registry, tmp_path))
    assert chosen_in("", reports) == newest
    assert chosen_in("?version=1", reports) == old
    assert chosen_in(f"?report={old}", reports) == old
    assert chosen_in("?version=9", reports) is None


def test_topics_stay_chosen_where_the_next_report_has_them() -> None:
    topics = ["Performance", "Fairness", "Robustness"]
    assert still_chosen(topics, []) == ["Fairness", "Robustness"]
    assert still_chosen(topics, ["Performance", "Slices"]) == ["Performance"]
    assert still_chosen(["Performance"], ["Slices"]) == ["Performance"]
    assert still_chosen([], ["Slices"]) == []


# ---- what is shown ---------------------------------------------------------------------------------------------------


def test_what_did_not_pass_stands_first_with_its_words() -> None:
    report = report_of("2", PASSED, FAILED)
    assert text_of(not_passed(report)) == "Not passed, and why FAIL fairness[tpr, plan] 0.3 must be at most 0.1"
    assert [row["check"] for row in check_rows(report)] == ["fairness[tpr, plan]", "accuracy"]
    assert text_of(not_passed(report_of("2", PASSED))) == "Every check that could judge passed."


def test_a_tiny_number_is_no_zero_in_the_table_of_checks() -> None:
    tiny = PASSED.__class__(name="mcnemar", status="PASS", reason="r", value=2.8e-13)
    assert check_rows(report_of("2", tiny))[0]["value"] == 3e-13


def test_the_pictures_are_the_reports_own_under_their_topics() -> None:
    figures = figures_of(report_of("2", PASSED, FAILED, NOISE))
    assert topics_of(figures) == ["Performance", "Fairness", "Robustness"]
    shown = pictures_of(figures, ["Fairness"]).children
    assert [section.children[0].children for section in shown] == ["Fairness"]
    cards = shown[0].children[1].children
    assert [card.children[0].id["name"] for card in cards] == ["gate-gaps", "gate-groups0"]
    assert cards[0].children[0].data["data"] == figures[1].traces


def test_the_head_leads_to_everything_of_the_report() -> None:
    ways = head_of(report_of("2", FAILED), "some-report").children[-1].children
    assert [way.href for way in ways] == [
        "/gate/report/some-report.html",
        "/gate/report/some-report.html?save",
        "/gate/report/some-report.json",
        "/gate/report/some-report.xml",
    ]


def test_a_row_says_verdict_reason_and_the_way_there() -> None:
    row = row_of(judged_of("some-report", report_of("2", FAILED)))
    assert (row["href"], row["candidate"], row["verdict"]) == ("/gate?report=some-report", "version 2", "FAIL")
    assert (row["passed"], row["champion"], row["n"]) == ("0 of 1", "version 1", 1409)
    assert row["consequence"] == "not blessed"


# ---- the page --------------------------------------------------------------------------------------------------------


class Away(FakeRegistry):
    """A tracking server that was there once."""

    def versions(self, _name: str) -> list:
        raise Unavailable("the tracking server http://mlflow does not answer: refused")


def shown_at(registry: FakeRegistry, folder: Path) -> str:
    (folder / "mlflow.db").touch()
    return text_of(page_at([PAGE], "/gate", sources_of(registry, folder)))


def test_before_any_gate_the_page_says_which_command_judges(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.add_version("1", tags={})
    assert f"gauntlet gate models:/toy@candidate --folder {tmp_path}" in shown_at(registry, tmp_path)


def test_a_candidate_that_failed_is_shown_before_there_is_any_champion(registry: FakeRegistry, tmp_path: Path) -> None:
    registry.add_report(registry.add_version("1"), report_of("1", FAILED))
    assert "All reports: 1, the newest first" in shown_at(registry, tmp_path)


def test_a_tracking_server_that_is_away_is_told_with_its_reason(tmp_path: Path) -> None:
    assert "The tracking server http://mlflow does not answer: refused" in shown_at(Away(), tmp_path)


def test_before_any_training_the_page_says_what_trains(tmp_path: Path) -> None:
    sources = sources_of(FakeRegistry(), tmp_path)
    assert f"gauntlet train --folder {tmp_path}" in text_of(page_at([PAGE], "/gate", sources))


# ---- whole reports ---------------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> str:
    """The name of a report in a folder whose registry has the model."""
    from bentos.folder import Folder
    from bentos.registry import open_registry

    registry = open_registry(Folder(tmp_path))
    run = registry.client.create_run(registry.experiment(MODEL)).info.run_id
    registry.register(MODEL, run=run, digest="sha256:x")
    name = f"gate-{MODEL}-2-20260301T120000.000000Z"
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / f"{name}.json").write_bytes(dump_report(report_of("2", FAILED)))
    return name


def test_a_whole_report_is_a_page_of_no_origin(kept: str, tmp_path: Path) -> None:
    client = browser(tmp_path)
    answer = client.get(f"/gate/report/{kept}.html")
    assert answer.data == to_html(report_of("2", FAILED))
    assert answer.headers["Content-Security-Policy"].startswith("sandbox allow-scripts; default-src 'none'")
    assert "allow-same-origin" not in answer.headers["Content-Security-Policy"]
    assert "attachment" not in answer.headers.get("Content-Disposition", "")
    assert "attachment" in client.get(f"/gate/report/{kept}.html?save").headers["Content-Disposition"]
    assert client.get(f"/gate/report/{kept}.json").data == dump_report(report_of("2", FAILED))
    assert b"<failure" in client.get(f"/gate/report/{kept}.xml").data
    assert client.get("/gate/report/gate-toy-9-x.html").status_code == 404
    assert "sandbox" not in client.get("/").headers["Content-Security-Policy"]


def test_a_whole_report_is_for_those_who_logged_in(kept: str, tmp_path: Path) -> None:
    keys_in(tmp_path)
    assert browser(tmp_path).get(f"/gate/report/{kept}.json").status_code == 401


def test_a_report_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    answer = send_report(sources_of(Away(), tmp_path), "any", "html")
    assert answer.status_code == 503
    assert b"does not answer: refused" in answer.data
