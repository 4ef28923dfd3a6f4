"""What is computed of production's sums, and what the alerts say."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from console_toys import settings_in
from production_toys import CELLS, HOUR, NOON, toy_counted, toy_reference

from bentos.errors import BadInput, InvalidSetting
from service.console.production.alerts import judge_features, judge_mean, judge_score
from service.console.production.asking import Chosen
from service.console.production.course import (
    Point,
    Sums,
    add_up,
    by_piece,
    histogram,
    holding,
    last_point,
    rolling,
)
from service.console.production.drift import compare
from service.console.production.reading import BINS, Newest
from service.console.production.spans import DAY, MOST_PIECES, SECOND, Span, between, piece_of
from service.console.sources import Sources
from validation.drift.limits import LIMITS

LAST_DAY = Span(NOON - DAY, NOON)


def test_cells_add_up_to_pieces_and_to_everything() -> None:
    pieces = by_piece(CELLS, bands=3)
    assert list(pieces) == [0, 60]
    assert pieces[0] == Sums(15, 5, 1, 5, 5.0, pytest.approx(3.3))
    assert add_up(CELLS, bands=3) == Sums(20, 5, 1, 5, 5.5, pytest.approx(3.35))


def test_the_histogram_keeps_bands_apart() -> None:
    low, middle, high = histogram(CELLS, bands=3)
    assert (sum(low), sum(middle), sum(high)) == (15, 0, 5)
    assert (low[4], high[30], len(low)) == (15, 5, BINS)


def test_an_interval_is_that_of_a_mean() -> None:
    """Of 0.1, 0.2 and 0.6: mean 0.3, standard deviation sqrt(0.07), by hand."""
    sums = Sums(3, 0, 0, 0, 0.9, 0.41)
    assert sums.mean == pytest.approx(0.3)
    assert sums.half_width == pytest.approx(1.959964 * math.sqrt(0.07 / 3), rel=1e-6)
    assert Sums(1, 0, 0, 0, 0.5, 0.25).half_width == math.inf


def test_a_window_holds_the_fewest_pieces_with_enough_predictions() -> None:
    pieces = {at: Sums(10, 0, 0, 0, 10 * mean, 10 * mean * mean) for at, mean in ((0, 0.1), (1, 0.2), (2, 0.6))}
    points = rolling(pieces, 1, window=20)
    assert [(point.at, point.n) for point in points] == [(2, 20), (3, 20)]
    assert [point.mean for point in points] == [pytest.approx(0.15), pytest.approx(0.4)]


def test_before_a_window_is_full_there_is_no_point() -> None:
    assert rolling({0: Sums(5, 0, 0, 0, 1.0, 0.3)}, 1, window=6) == ()


def test_the_last_point_is_of_the_last_predictions_whatever_the_pieces_are() -> None:
    """Of 0.1, 0.2 and 0.6: mean 0.3, standard deviation sqrt(0.07), by hand."""
    newest = Newest(7, (0.6, 0.2, 0.1, 0.9))
    point = last_point(newest, window=3)
    half = 1.959964 * math.sqrt(0.07 / 3)
    assert point is not None
    assert (point.at, point.n, point.mean) == (7, 3, pytest.approx(0.3))
    assert (point.low, point.high) == (pytest.approx(0.3 - half, abs=1e-6), pytest.approx(0.3 + half, abs=1e-6))
    assert last_point(newest, window=5) is None


def test_the_last_predictions_lie_in_the_last_pieces() -> None:
    pieces = {at: Sums(10, 0, 0, 0, 1.0, 0.1) for at in (0, 60, 120)}
    assert [holding(pieces, window) for window in (1, 10, 11, 30, 31)] == [120, 120, 60, 0, 0]


@pytest.mark.parametrize("length", [60 * SECOND, DAY, 45 * DAY, 700 * DAY])
def test_pieces_are_few_enough_to_draw(length: int) -> None:
    assert length / piece_of(Span(0, length)) <= MOST_PIECES


def test_a_time_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="time: 'century' is not allowed; it must be one of hour, day, week, month, all"):
        Chosen("century", None, None).among(Sources(settings_in(tmp_path)))


def test_days_reach_from_morning_to_midnight() -> None:
    assert between("2026-01-01", "2026-01-01") == Span(NOON - 12 * HOUR, NOON + 12 * HOUR)
    for first, final in ((None, "2026-01-01"), ("2026-01-02", "2026-01-01"), ("x", "y")):
        with pytest.raises(InvalidSetting):
            between(first, final)


def drifts_of(fee, **counted):
    return compare(toy_reference(), toy_counted(fee, **counted), LAST_DAY)


def test_what_moved_far_has_drifted_and_stands_first() -> None:
    first, *others = drifts_of((900, 50, 50))
    assert (first.name, first.finding) == ("fee", "drifted")
    assert {drift.finding for drift in others} == {"quiet"}


def test_a_limit_grows_where_few_customers_come_often() -> None:
    few, many = (drifts_of((3000, 4000, 3000), repeats=times) for times in (40.0, 1.0))
    assert max(drift.psi_limit for drift in few) > 0.1
    assert {drift.psi_limit for drift in many} == {0.1}


def test_a_feature_that_can_be_missing_says_how_often_it_is() -> None:
    found = {drift.name: drift for drift in drifts_of((300, 400, 300))}
    assert (found["plan"].missing.ratio, found["plan"].unseen.ratio) == (0.0, 0.0)
    assert (found["fee"].missing, found["fee"].unseen) == (None, None)


def test_too_few_predictions_are_no_good_news() -> None:
    small = toy_counted((60, 70, LIMITS.rows - 131))
    assert compare(toy_reference(), small, LAST_DAY) == ()
    assert judge_score((), small).state == "unknown"
    assert judge_features((), small).state == "unknown"


def test_few_customers_who_come_often_are_too_few_too() -> None:
    few = toy_counted((300, 400, 300), repeats=10.0)
    assert compare(toy_reference(), few, LAST_DAY) == ()
    assert "1,000 predictions, worth 100 customers, are too few" in judge_score((), few).says


def test_alerts_name_what_drifted() -> None:
    found = toy_counted((900, 50, 50))
    alert = judge_features(drifts_of((900, 50, 50)), found)
    assert alert.state == "alert"
    assert alert.says.startswith("fee (PSI")
    assert judge_score(drifts_of((900, 50, 50)), found).state == "well"


def test_an_alert_names_what_is_missing_more_often_than_it_was() -> None:
    counted = toy_counted((300, 400, 300))
    missing = replace(counted, features=counted.features | {"plan": (460, 460, 80, 0)})
    alert = judge_features(compare(toy_reference(), missing, LAST_DAY), missing)
    assert alert.state == "alert"
    assert "plan (" in alert.says


@pytest.mark.parametrize(
    ("mean", "half", "state", "says"),
    [(0.39, 0.01, "well", "+9.0"), (0.45, 0.01, "alert", "+15.0"), (0.41, 0.05, "alert", "chance may explain it")],
)
def test_ten_points_are_allowed(mean: float, half: float, state: str, says: str) -> None:
    alert = judge_mean(Point(0, 500, mean, mean - half, mean + half), 0.3, 500)
    assert alert.state == state
    assert says in alert.says


def test_without_a_baseline_or_a_window_nothing_is_well() -> None:
    assert judge_mean(Point(0, 500, 0.3, 0.29, 0.31), None, 500).state == "unknown"
    assert judge_mean(None, 0.3, 500).state == "unknown"
