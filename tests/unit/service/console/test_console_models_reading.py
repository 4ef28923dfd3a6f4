"""How runs, versions, gate reports and the audit are brought together."""

from datetime import timedelta
from pathlib import Path

import pytest
from console_toys import settings_in
from model_toys import FAILED, FakeRegistry, answers_with, judged, report_of, run_of, sources_of, tried, version_of
from report_toys import NOW

from bentos.errors import Unavailable
from bentos.registry import STATUS_TAG
from service.console.gate.reading import Reports
from service.console.models.page import PAGE
from service.console.models.reading import (
    History,
    Measured,
    bring_together,
    in_order,
    metrics_in,
    parameters_in,
    read_history,
    read_tried,
    standing_of,
)
from service.console.shell import page_at
from service.micros import to_micros
from service.store import open_store
from validation.judge.audit import Change, record

NOTHING = Reports((), ())


def change(number: int, action: str, champion: str, challenger: str | None = None, **more) -> Change:
    """A change of roles between versions, an hour after the one before."""
    at = to_micros(NOW + timedelta(hours=number))
    digests = {"champion": version_of(champion).digest, "challenger": challenger and version_of(challenger).digest}
    given = {"who": "ann", "model": "toy", "aliases": "moved"} | more
    return Change(number=number, at=at, action=action, **digests, **given)


# ---- roles -----------------------------------------------------------------------------------------------------------

PROMOTED = [change(1, "bootstrap", "1"), change(2, "promote", "1", "2", reason="better")]


def test_a_champion_is_one_since_the_change_that_made_it_so() -> None:
    champion = standing_of(version_of("2", aliases=("champion",)), PROMOTED, None)
    assert (champion.role, champion.since, champion.by, champion.why) == (
        "champion", "2026-03-01 14:00:00", "ann", "better",
    )  # fmt: skip


def test_the_one_that_was_replaced_is_archived_since_the_same_change() -> None:
    found = standing_of(version_of("1", tags={STATUS_TAG: "archived"}), PROMOTED, None)
    assert (found.role, found.since) == ("archived", "2026-03-01 14:00:00")


def test_a_challenger_that_was_rolled_back_is_archived_and_the_champion_keeps_its_date() -> None:
    changes = [*PROMOTED, change(3, "rollback", "2", "3")]
    lost = standing_of(version_of("3", tags={STATUS_TAG: "archived"}), changes, None)
    kept = standing_of(version_of("2", aliases=("champion",)), changes, None)
    assert (lost.since, kept.since) == ("2026-03-01 15:00:00", "2026-03-01 14:00:00")


def test_a_change_that_never_happened_gave_no_role() -> None:
    void = [change(1, "promote", "1", "2", aliases="void")]
    assert standing_of(version_of("2", aliases=("champion",)), void, None).since == ""


def test_the_gate_makes_a_challenger() -> None:
    found = standing_of(version_of("2", aliases=("candidate", "challenger")), PROMOTED, judged())
    assert (found.role, found.by, found.since, found.why) == (
        "challenger", "gate", "2026-03-01 12:00:00", "1 of 1 checks passed",
    )  # fmt: skip


def test_without_alias_and_tag_a_version_is_registered_and_nothing_more() -> None:
    assert standing_of(version_of("2"), PROMOTED, judged()).role == "registered"


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_a_metric_over_folds_has_its_deviation_and_one_without_has_none() -> None:
    one = tried("1", metrics={"cv_f1_mean": 0.5, "cv_f1_sd": 0.1, "onnx_difference": 1e-7})
    assert one.measured("f1", "validation") == Measured(0.5, 0.4, 0.6)
    assert one.measured("onnx_difference", "validation") == Measured(1e-7)
    assert one.measured("accuracy", "validation") is None
    assert metrics_in([one], "validation") == ["f1", "onnx_difference"]


def test_a_metric_of_the_gate_has_its_interval_and_rows() -> None:
    one = tried("1", judged=judged("1", accuracy=(0.8, 0.7, 0.9)))
    assert one.measured("accuracy", "gate") == Measured(0.8, 0.7, 0.9, 1409)
    assert tried("2").measured("accuracy", "gate") is None
    assert metrics_in([one, tried("2")], "gate") == ["accuracy", "roc_auc", "pr_auc"]


def test_values_of_a_parameter_come_by_size_and_words_after_numbers() -> None:
    runs = [tried(str(i), max_depth=value) for i, value in enumerate(["None", "10", "2", "1e3"])]
    assert parameters_in(runs)["max_depth"] == ["2", "10", "1e3", "None"]
    assert sorted(["inf", "b", "3"], key=in_order) == ["3", "b", "inf"]


# ---- together --------------------------------------------------------------------------------------------------------


def test_a_run_has_its_version_its_role_and_the_newest_report() -> None:
    newest, older = judged("2", accuracy=(0.8, 0.7, 0.9)), judged("2")
    versions = [version_of("2", aliases=("champion",)), version_of("1")]
    runs = [run_of("3", status="FAILED"), run_of("2"), run_of("1")]
    failed, champion, first = bring_together(runs, versions, Reports((newest, older), ()), PROMOTED)
    assert (failed.version, failed.standing.role, failed.label) == (None, "not registered", "run run-3")
    assert (champion.label, champion.standing.role, champion.judged) == ("version 2", "champion", newest)
    assert first.judged is None


def test_everything_is_asked_for_once_for_all_pictures(tmp_path: Path) -> None:
    registry = FakeRegistry()
    registry.all_runs = [run_of("1")]
    registry.add_report(registry.add_version("1"), report_of("1", FAILED, answers=answers_with()))
    sources = sources_of(registry, tmp_path)
    assert read_tried(sources) is read_tried(sources)
    assert registry.asked.count("runs") == 1
    assert read_tried(sources)[0].judged.verdict == "FAIL"


def test_the_history_is_the_stores_and_of_this_model_alone(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'store.db'}").writing() as connection:
        for made in (PROMOTED[0], change(2, "bootstrap", "1", model="other")):
            record(connection, made)
    history = read_history(sources_of(FakeRegistry(), tmp_path))
    assert [(one.number, one.model) for one in history.changes] == [(1, "toy")]
    assert history.wrong == ""


def test_without_a_store_runs_are_shown_and_the_lack_is_told(tmp_path: Path) -> None:
    history = read_history(sources_of(FakeRegistry(), tmp_path))
    assert history.changes == ()
    assert history.wrong.startswith("no change of roles is written down yet: there is no store in")


def test_a_store_that_is_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAUNTLET_STORE_URL", "postgresql+psycopg://nobody@127.0.0.1:9/none")
    history = read_history(sources_of(FakeRegistry(), tmp_path))
    assert isinstance(history, History)
    assert history.wrong.startswith("who changed roles and when is not known: ")


# ---- the page --------------------------------------------------------------------------------------------------------


class Away(FakeRegistry):
    """A tracking server that was there once."""

    def runs(self, _experiment: str) -> list:
        raise Unavailable("the tracking server http://mlflow does not answer: refused")


def test_a_tracking_server_that_is_away_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    shown = page_at([PAGE], "/models", sources_of(Away(), tmp_path))
    assert shown.children[1].children == "The tracking server http://mlflow does not answer: refused"
    assert shown.children[1].role == "alert"


def test_a_console_that_may_show_any_model_asks_for_the_one(tmp_path: Path) -> None:
    registry = FakeRegistry()
    registry.names = lambda: ["a", "b"]
    (tmp_path / "mlflow.db").touch()
    shown = page_at([PAGE], "/models", sources_of(registry, tmp_path))
    assert "GAUNTLET_CONSOLE_MODEL must name the one that is shown" in shown.children[1].children
    assert settings_in(tmp_path, model="a").model == "a"
