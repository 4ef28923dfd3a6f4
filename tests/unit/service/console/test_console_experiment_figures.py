"""The pictures and words of a trial, from values that stand here."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
from trial_toys import DAY, RULES, ledger, told_of

from service.console.experiment import figures, sections, tables
from service.console.experiment.naming import Names
from service.console.viewers import Viewer
from validation.judge.audit import Change
from validation.judge.disagreements import Awaited, Disagreement
from validation.judge.evidence import weigh
from validation.judge.limits import Live
from validation.judge.policy import GroupRule, Limits
from validation.planning.remaining import Rest, Wait
from validation.statistics import paired_log_wealth

NAMES = Names()


def text_of(component: Any) -> str:
    """All that a person reads in a component."""
    if component is None or isinstance(component, str | int | float):
        return str(component or "")
    if isinstance(component, list | tuple):
        return " ".join(text_of(one) for one in component)
    return text_of(getattr(component, "children", None))


def by_name(figure):
    return {trace.get("name", ""): trace for trace in figure.traces}


def test_the_last_point_of_each_path_is_the_evidence_of_the_whole_ledger():
    told = told_of(ledger(20))
    found = by_name(figures.log_e(told, ()))
    evidence = weigh(told.cohorts, RULES)
    assert found["promotion"]["y"][-1] == evidence.log_e
    assert found["harm"]["y"][-1] == evidence.rollback_log_e
    assert found["promotion, every missing truth against it"]["y"][-1] == evidence.log_e_worst


def test_the_paths_are_those_of_the_statistics():
    told = told_of(ledger(1, wins_positive=30, losses_positive=10, ties=160))
    (point,) = by_name(figures.log_e(told, ()))["promotion"]["y"]
    assert math.isclose(point, paired_log_wealth(30, 160, 10, 0.02), abs_tol=1e-12)


def test_thresholds_are_drawn_where_the_evidence_says():
    told = told_of(ledger(5))
    levels = [shape["y0"] for shape in figures.log_e(told, ()).layout["shapes"] if shape["y0"] == shape["y1"]]
    assert levels == [told.evidence.threshold, told.evidence.rollback_threshold]


def test_phases_and_changes_of_roles_are_marked():
    cohorts = [
        msgspec.structs.replace(one, revision=3, mode="split", split=0.25) if at >= 5 else one
        for at, one in enumerate(ledger(10))
    ]
    change = Change(number=2, at=9 * DAY, who="ann", action="promote", model="churn", champion="sha256:a")
    told = told_of(cohorts)
    figure = figures.difference(told, [change])
    assert [mark["text"] for mark in figure.layout["annotations"]] == ["shadow", "split 25 %", "promotion"]
    assert figures.has_split(told.evidence)


def test_a_picture_lists_few_rows_and_always_the_last_cohort():
    told = told_of(ledger(100))
    _, rows = figures.log_e(told, ()).table
    assert len(rows) <= 20
    assert rows[-1][1] == f"{told.evidence.matured:,}"


def test_every_cohort_stands_in_the_table_of_cohorts():
    grid = tables.cohort_table(told_of(ledger(30))).children[1]
    assert [row["enrolled"] for row in grid.rowData] == [51 * day for day in range(30, 0, -1)]


def test_the_margin_is_said_and_without_one_no_difference_is():
    assert "worse by the margin, 0.02" in figures.difference(told_of(ledger(3)), ()).says
    superior = msgspec.structs.replace(RULES, claim="superiority", margin=0.0)
    assert "no difference" in figures.difference(told_of(ledger(3, rules=superior), rules=superior), ()).says


def test_missing_truths_that_decide_are_told_from_those_that_do_not():
    told = told_of(ledger(4, missing_agreements=3, missing_champion_positive=2, ties=40))
    names = [trace["name"] for trace in figures.customers(told, ()).traces]
    assert names == ["matured (180)", "no truth, models agree (12)", "no truth, models disagree (8)"]


def test_a_group_is_held_against_its_own_margin():
    rule = GroupRule(attribute="gender", margin=0.05, when_underpowered="report")
    rules = msgspec.structs.replace(RULES, groups=(rule,))
    cohorts = [
        msgspec.structs.replace(one, groups={"gender": {"Female": one.counts}}) for one in ledger(6, rules=rules)
    ]
    told = told_of(cohorts, rules=rules)
    figure = figures.groups(told.evidence.groups, rules)
    assert figure.layout["yaxis"]["ticktext"] == ["gender Female"]
    assert [shape["x0"] for shape in figure.layout["shapes"]] == [-0.05]


def test_the_split_is_counted_wanted_and_seen_with_its_p():
    cohorts = [
        msgspec.structs.replace(one, revision=3, mode="split", split=0.25) for one in ledger(4, answered_challenger=20)
    ]
    section = tables.phase_table(told_of(cohorts))
    (row,) = section.children[2].rowData
    assert (row["wanted"], row["seen"], row["share"]) == (51.0, 80, "39.22%")
    evidence = weigh(cohorts, RULES)
    assert f"p = {math.exp(-evidence.srm_log_e_max):.3g}" in text_of(section)


def test_limits_are_shown_with_what_is_allowed_and_what_is_broken_is_said():
    limits = Limits(challenger_error_share=0.01, latency_p99_ratio=5.0, min_requests=50)
    rules = msgspec.structs.replace(RULES, limits=limits)
    live = Live(
        requests=100, failed=5, champion_p99_us=100.0, challenger_p99_us=250.0, champion_positive=20,
        challenger_positive=19,
    )  # fmt: skip
    said = text_of(sections.limit_section(live, rules))
    assert "5.00%" in said
    assert "2.50" in said
    assert "no limit" in said
    assert "Limit challenger_error_share: the challenger failed on 5 of the last 100" in said


def test_too_few_requests_break_nothing_and_keep_nothing():
    rules = msgspec.structs.replace(RULES, limits=Limits(challenger_error_share=0.01, min_requests=500))
    live = Live(
        requests=10, failed=5, champion_p99_us=None, challenger_p99_us=None, champion_positive=0, challenger_positive=0
    )
    said = text_of(sections.limit_section(live, rules))
    assert "too few requests" in said
    assert "not measured" in said


def test_a_provisional_look_says_so():
    told = told_of(ledger(3), as_of=datetime(2026, 5, 1, tzinfo=UTC))
    assert "Provisional, as of 2026-05-01 00:00 UTC" in text_of(sections.provisional_notice(told))
    assert sections.provisional_notice(told_of(ledger(3))) is None


def test_waiting_is_told_in_words_and_never_is_no_number():
    rest = Rest(
        customers_a_day=20.0, disagreement=0.08, coverage=0.9, horizon_days=365.0,
        waits=(
            Wait(effect=0.01, promoted=0.8, rolled_back=0.0, waits=((3455, 174 * DAY), None)),
            Wait(effect=0.0, promoted=0.0, rolled_back=0.0, waits=(None, None)),
        ),
    )  # fmt: skip
    said = text_of(sections.rest_card(rest))
    assert "50% are decided in about 174 days (3,455 more customers)" in said
    assert "fewer than half are ever decided" in said


def test_who_only_reads_sees_no_customer_and_no_prediction():
    at = datetime(2026, 3, 1, tzinfo=UTC)
    one = Disagreement(
        prediction_id="0190-long-prediction-id", customer_id="7590-VHVEG", at=at, due=at, champion_positive=True,
        challenger_positive=False, if_positive=-1.0, if_negative=1.0,
    )  # fmt: skip
    awaited = Awaited(experiment="e", scored=10, open=1, told=2, too_late=0, customers=(one,))

    def row_for(role):
        return tables.awaited_section(awaited, Viewer("ann", role), RULES).children[2].rowData[0]

    assert row_for("operator")["customer"] == "7590-VHVEG"
    masked = row_for("read_only")
    assert masked["customer"] == "…HVEG"
    assert masked["prediction"] == "…n-id"


def test_a_verdict_comes_with_its_reasons_and_its_rules():
    told = told_of(ledger(20))
    said = text_of(sections.verdict_card(told, NAMES))
    assert told.verdict is not None
    assert told.verdict.verdict in said
    assert all(reason[1:] in said for reason in told.verdict.reasons)
    assert "not worse by 0.02 or more" in said
