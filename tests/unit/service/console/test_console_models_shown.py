"""What the tables, pictures and files of runs say of given runs."""

import io

import msgspec
import plotly.graph_objects as go
import pyarrow.parquet as pq
import pytest
from model_toys import judged, tried, version_of
from report_toys import NOW

from bentos.errors import NotFound
from bentos.palette import CHALLENGER, CHAMPION, IN_THE_DARK, NEUTRAL, RISING
from service.console.models import figures
from service.console.models.parallel import parallel
from service.console.models.reading import Standing
from service.console.models.rows import (
    change_row,
    comparison_columns,
    comparison_rows,
    run_columns,
    run_rows,
    to_parquet,
    version_row,
)
from service.micros import to_micros
from validation.judge.audit import Change


def runs():
    """A champion, a challenger with a report, and a run without a version's numbers."""
    return [
        tried("3", hour=2, max_depth=10, metrics={"cv_accuracy_mean": 0.7, "cv_accuracy_sd": 0.02}),
        tried("2", "challenger", hour=1, max_depth=6, judged=judged("2", accuracy=(0.81, 0.78, 0.84))),
        tried("1", "champion", hour=0, max_depth=2, estimator="sklearn.linear_model.LogisticRegression"),
    ]


def traces(figure):
    return {trace["name"]: trace for trace in figure.traces}


def checked(figure):
    """Plotly itself refuses what it does not know."""
    go.Figure(figure.traces, figure.layout)
    return figure


# ---- comparison ------------------------------------------------------------------------------------------------------


def test_a_row_a_run_with_its_deviation_and_the_role_in_colour_and_form() -> None:
    figure = checked(figures.compare(runs(), "accuracy", "validation"))
    (dots,) = figure.traces
    assert dots["x"] == [0.7, 0.8, 0.8]
    assert [round(reach, 6) for reach in dots["error_x"]["array"]] == [0.02, 0.01, 0.01]
    assert dots["marker"]["color"] == [NEUTRAL, CHALLENGER, CHAMPION]
    assert len(set(dots["marker"]["symbol"])) == 3
    assert figure.layout["yaxis"]["ticktext"] == ["version 3", "version 2, challenger", "version 1, champion"]
    assert "3 of 3 chosen runs" in figure.says
    assert "one standard deviation" in figure.says


def test_the_gates_numbers_have_intervals_and_rows_and_who_lacks_them_is_named() -> None:
    figure = figures.compare(runs(), "accuracy", "gate")
    assert figure.table == (
        ("Run", "accuracy", "low", "high", "rows"),
        [("version 2, challenger", "0.8100", "0.7800", "0.8400", "1,409")],
    )
    assert "1 of 3 chosen runs, on the gate's holdout; lines are 95 % intervals" in figure.says
    assert "Without it: version 3, version 1" in figure.says


def test_a_metric_that_nobody_has_is_told_and_no_empty_chart() -> None:
    with pytest.raises(NotFound, match="none of the 3 runs here has ece from a cross-validation"):
        figures.compare(runs(), "ece", "validation")
    with pytest.raises(NotFound, match="none of the 1 runs here has accuracy from a gate report"):
        figures.over_time(runs()[:1], "accuracy", "gate")


def test_many_runs_are_drawn_up_to_a_bound_and_listed_all() -> None:
    figure = figures.compare([tried(str(i)) for i in range(60)], "accuracy", "validation")
    assert len(figure.traces[0]["x"]) == figures.MOST_COMPARED
    assert len(figure.table[1]) == 60
    assert "The first 40 are drawn" in figure.says


def test_a_table_compares_numbers_from_both_sources_and_the_parameters_that_differ() -> None:
    chosen = runs()[:2]
    assert [column["field"] for column in comparison_columns(chosen)] == ["what", "of", "run-3", "run-2"]
    assert comparison_rows(chosen, ["accuracy"]) == [
        {"what": "accuracy", "of": "cross-validation", "run-3": "0.7000 ± 0.0200", "run-2": "0.8000 ± 0.0100"},
        {"what": "accuracy", "of": "gate, holdout", "run-3": "", "run-2": "0.8100 (0.7800 to 0.8400)"},
        {"what": "max_depth", "of": "parameter", "run-3": "10", "run-2": "6"},
    ]


# ---- over time, by a parameter ---------------------------------------------------------------------------------------


def test_time_runs_forward_and_the_best_until_then_never_falls() -> None:
    figure = checked(figures.over_time(runs(), "accuracy", "validation"))
    best = traces(figure)["best until then"]
    assert best["x"] == ["2026-03-01 12:00:00", "2026-03-01 13:00:00", "2026-03-01 14:00:00"]
    assert best["y"] == [0.8, 0.8, 0.8]
    assert set(traces(figure)) == {
        "best until then", "RandomForestClassifier", "LogisticRegression", "champion", "challenger",
    }  # fmt: skip


def test_of_a_loss_the_best_is_the_least() -> None:
    losses = [tried(str(i), hour=i, metrics={"cv_brier_mean": value}) for i, value in enumerate([0.2, 0.1, 0.3])]
    figure = figures.over_time(losses, "brier", "validation")
    assert traces(figure)["best until then"]["y"] == [0.2, 0.1, 0.1]
    assert "Less is better" in figure.says


def test_an_estimator_keeps_its_colour_where_another_is_not_drawn() -> None:
    many = runs()
    over = traces(figures.over_time(many, "accuracy", "validation"))
    with_depth = [*many[:2], tried("1", estimator="sklearn.linear_model.LogisticRegression")]
    by = traces(figures.impact(with_depth, "max_depth", "accuracy", "validation"))
    assert "LogisticRegression" not in by
    assert by["RandomForestClassifier"]["marker"]["color"] == over["RandomForestClassifier"]["marker"]["color"]


def test_a_numeric_parameter_has_an_axis_of_numbers_with_means() -> None:
    values = ((10, 0.5), (2, 0.3), (2, 0.5))
    found = [tried(str(i), depth=depth, metrics={"cv_f1_mean": f1}) for i, (depth, f1) in enumerate(values)]
    figure = checked(figures.impact(found, "depth", "f1", "validation"))
    assert figure.layout["xaxis"]["type"] == "linear"
    assert (traces(figure)["mean"]["x"], traces(figure)["mean"]["y"]) == ([2.0, 10.0], [0.4, 0.5])
    assert "n = 3 of 3 runs shown with 2 different values" in figure.says


def test_a_parameter_over_powers_has_an_axis_of_powers() -> None:
    found = [tried(str(i), C=value) for i, value in enumerate([0.01, 1, 100])]
    assert figures.impact(found, "C", "accuracy", "validation").layout["xaxis"]["type"] == "log"


def test_a_parameter_with_a_word_among_its_numbers_has_categories_in_order() -> None:
    found = [tried(str(i), max_depth=value) for i, value in enumerate(["None", "10", "2"])]
    figure = checked(figures.impact(found, "max_depth", "accuracy", "validation"))
    assert figure.layout["xaxis"]["type"] == "category"
    assert traces(figure)["RandomForestClassifier"]["x"] == ["2", "10", "None"]


def test_a_parameter_that_no_run_has_is_told() -> None:
    with pytest.raises(NotFound, match="no run that is shown has gamma and accuracy"):
        figures.impact(runs(), "gamma", "accuracy", "validation")


def test_what_users_called_something_is_text_and_no_markup() -> None:
    found = [tried("1", estimator="<b>x</b>", max_depth="<i>1</i>")]
    time = figures.over_time(found, "accuracy", "validation")
    for figure in (time, figures.impact(found, "max_depth", "accuracy", "validation")):
        hovers = [text for trace in figure.traces for text in trace.get("text", ())]
        assert hovers
        assert not any("<b>x" in text or "<i>" in text for text in hovers)


# ---- parallel coordinates --------------------------------------------------------------------------------------------


def test_a_line_a_run_over_the_axes_with_a_gap_to_the_next() -> None:
    values = ((1, "x", 0.1), (2, "y", 0.2), (3, "x", 0.3))
    found = [tried(str(a), a=a, b=b, metrics={"cv_f1_mean": f1}) for a, b, f1 in values]
    figure = checked(parallel(found, ["a", "b"], "f1", "validation"))
    assert [trace["x"] for trace in figure.traces] == [[0, 1, 2, None]] * 3
    assert [trace["y"] for trace in figure.traces] == [[0, 0, 0, None], [0.5, 1, 0.5, None], [1, 0, 1, None]]
    assert [trace["line"]["color"] for trace in figure.traces] == list(RISING)
    assert figure.layout["xaxis"]["ticktext"] == ["a", "b", "f1"]
    assert all(color in IN_THE_DARK for color in RISING)


def test_words_at_an_axis_do_not_stand_on_each_other() -> None:
    values = [0.0, 0.5587, 0.5815, 0.594]
    found = [tried(str(i), a=i, metrics={"cv_f1_mean": value}) for i, value in enumerate(values)]
    notes = parallel(found, ["a"], "f1", "validation").layout["annotations"]
    assert [note["text"] for note in notes if note["x"] == 0] == ["0", "1", "2", "3"]
    assert [note["text"] for note in notes if note["x"] == 1] == ["0", "0.594"]


def test_of_a_loss_the_best_third_has_the_least() -> None:
    found = [tried(str(i), a=i, metrics={"cv_brier_mean": value}) for i, value in enumerate([0.1, 0.2, 0.3])]
    drawn = traces(parallel(found, ["a"], "brier", "validation"))
    assert drawn["the best third (1)"]["y"][1] == 0
    assert drawn["the worst third (1)"]["y"][1] == 1


def test_a_run_without_a_parameter_passes_below_its_axis() -> None:
    found = [tried("1", C=1), tried("2", C=2), tried("3")]
    figure = parallel(found, ["C"], "accuracy", "validation")
    heights = [y for trace in figure.traces for y in trace["y"][::3]]
    assert sorted(heights)[0] < 0
    assert "–" in [note["text"] for note in figure.layout["annotations"]]
    assert figure.table[1][2] == ("version 3", "not given", "0.8000")


def test_without_axes_nothing_is_drawn() -> None:
    with pytest.raises(NotFound, match="no parameter is chosen"):
        parallel(runs(), [], "accuracy", "validation")


# ---- tables and files ------------------------------------------------------------------------------------------------


def test_the_table_of_runs_has_numbers_as_numbers_and_mixed_parameters_as_words() -> None:
    found = [*runs(), tried("4", max_depth="None", judged=None, metrics={}, status="RUNNING")]
    columns = {column["field"]: column for column in run_columns(found)}
    assert "filter" in columns["m:accuracy"]
    assert "type" not in columns["p:max_depth"]
    assert "p:estimator" not in columns
    row = run_rows(found)[1]
    assert (row["label"], row["role"], row["m:accuracy"], row["p:max_depth"]) == ("version 2", "challenger", 0.8, "6")
    assert (row["verdict"], row["href"], row["seconds"]) == ("PASS", "/gate?report=gate-2", 2.5)
    assert {column["field"] for column in run_columns(found)} >= set(row) - {"id", "href"}
    assert run_rows(runs())[0]["p:max_depth"] == 10


def test_a_version_says_role_gate_and_blessing() -> None:
    version = version_of("2", tags={"estimator": "a.b.Forest", "blessing": "sha256:" + "d" * 64})
    row = version_row(version, Standing("champion", "then", "ann", "better"), judged("2"), None)
    assert (row["role"], row["since"], row["by"], row["why"]) == ("champion", "then", "ann", "better")
    assert (row["verdict"], row["href"], row["estimator"]) == ("PASS", "/gate?report=gate-2", "Forest")
    bare = version_row(version_of("3"), Standing("registered"), None, None)
    assert (bare["verdict"], bare["href"], bare["blessing"]) == ("not judged", None, "none")


def test_a_change_names_versions_where_the_registry_has_them() -> None:
    made = Change(
        number=7, at=to_micros(NOW), who="ann", action="promote", model="toy", champion=version_of("1").digest,
        challenger="sha256:" + "e" * 64, aliases="pending", note="the server is away",
    )  # fmt: skip
    row = change_row(made, [version_of("2"), version_of("1")])
    assert row["done"] == "eeeeeeeeeeee became champion, version 1 was archived"
    assert (row["at"], row["aliases"]) == ("2026-03-01 12:00:00", "pending: the server is away")
    void = change_row(msgspec.structs.replace(made, aliases="void", note=None), [])
    assert void["done"].startswith("void: ")


def test_a_parquet_file_has_every_number_with_all_its_digits_in_the_order_shown() -> None:
    found = [tried("9", metrics={"cv_f1_mean": 1 / 3}, max_depth=3), *runs()]
    table = pq.read_table(io.BytesIO(to_parquet(found)))
    rows = table.to_pylist()
    assert [row["version"] for row in rows] == ["9", "3", "2", "1"]
    assert rows[0]["metric.cv_f1_mean"] == 1 / 3
    assert rows[0]["parameter.max_depth"] == 3.0
    assert (rows[2]["gate.accuracy"], rows[2]["gate.accuracy_low"], rows[2]["gate.accuracy_high"]) == (0.81, 0.78, 0.84)
    assert rows[0]["gate.accuracy"] is None
    assert rows[3]["started_at"] == NOW


def test_a_parquet_file_of_no_runs_is_one_too() -> None:
    assert pq.read_table(io.BytesIO(to_parquet([]))).num_rows == 0
