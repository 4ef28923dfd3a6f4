"""What the database adds up of production."""

import math
from pathlib import Path

import pytest
from production_toys import (
    CHALLENGER,
    CHAMPION,
    HOUR,
    MINUTE,
    NOON,
    outcome,
    prediction,
    store_with,
    toy_contract,
    toy_reference,
)

from bentos.errors import NotFound
from service.console.production.drift_reading import read_counted
from service.console.production.outcomes import read_last_told, read_outcomes
from service.console.production.reading import (
    Cell,
    Newest,
    read_cells,
    read_newest,
    read_rhythm,
    read_riskiest,
    read_seen,
)
from service.console.production.spans import Span
from service.micros import from_micros
from validation.drift.comparing import Window
from validation.drift.counting import ReferenceModel, count_window

MODEL = ReferenceModel(label="toy", digest=CHAMPION, contract=toy_contract(), reference=toy_reference())
DAY = Span(NOON - HOUR, NOON + 24 * HOUR)
BANDS = toy_contract().risk_bands


def test_predictions_are_parted_by_time_probability_and_band(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(0, 0.1), prediction(1, 0.11), prediction(70, 0.7)])
    early, late = read_cells(store, DAY, HOUR, BANDS)
    assert early == Cell(NOON, 4, 0, 2, 0, 0, pytest.approx(0.21), pytest.approx(0.0221))
    assert late == Cell(NOON + HOUR, 28, 2, 1, 1, 0, 0.7, pytest.approx(0.49))


def test_the_answer_is_that_of_the_variant_that_answered(tmp_path: Path) -> None:
    told = {"challenger": CHALLENGER, "challenger_probability": 0.9, "challenger_positive": True}
    store = store_with(tmp_path, [prediction(0, 0.1, **told), prediction(1, 0.1, variant="challenger", **told)])
    low, high = read_cells(store, DAY, HOUR, BANDS)
    assert (low.band, low.positive, low.challenger) == (0, 0, 0)
    assert (high.band, high.positive, high.challenger) == (2, 1, 1)


def test_a_probability_of_one_is_in_the_last_bin(tmp_path: Path) -> None:
    [cell] = read_cells(store_with(tmp_path, [prediction(0, 1.0)]), DAY, HOUR, BANDS)
    assert (cell.bin, cell.band) == (39, 2)


@pytest.mark.parametrize("probability", [0.0, 0.0249, 0.025, 0.0374999, 0.0375, 0.4999, 0.5, 0.99, 0.9999])
def test_a_probability_is_in_the_bin_that_begins_below_it(tmp_path: Path, probability: float) -> None:
    [cell] = read_cells(store_with(tmp_path, [prediction(0, probability)]), DAY, HOUR, BANDS)
    assert cell.bin == math.floor(probability * 40)


def test_a_band_begins_at_its_probability(tmp_path: Path) -> None:
    [cell] = read_cells(store_with(tmp_path, [prediction(0, 0.3)]), DAY, HOUR, BANDS)
    assert cell.band == 1


def test_one_band_is_enough(tmp_path: Path) -> None:
    [cell] = read_cells(store_with(tmp_path, [prediction(0, 0.7)]), DAY, HOUR, BANDS[:1])
    assert cell.band == 0


@pytest.mark.parametrize("given", [{"purpose": "what_if"}, {"purpose": "test"}, {"champion_probability": None}])
def test_what_is_not_production_is_not_counted(tmp_path: Path, given: dict[str, object]) -> None:
    store = store_with(tmp_path, [prediction(0, 0.5, **given), prediction(1, 0.5)])
    assert sum(cell.n for cell in read_cells(store, DAY, HOUR, BANDS)) == 1
    assert read_rhythm(store, DAY).customers == 1


def test_a_span_ends_before_its_end(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(0, 0.5), prediction(1, 0.5)])
    [cell] = read_cells(store, Span(NOON, NOON + MINUTE), HOUR, BANDS)
    assert cell.n == 1


def test_nothing_there_is_said_and_is_no_zero(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(0, 0.5, purpose="test")])
    with pytest.raises(NotFound, match="no predictions"):
        read_cells(store, DAY, HOUR, BANDS)


def test_hours_are_of_the_day_in_utc(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(0, 0.5), prediction(60, 0.5), prediction(24 * 60 - 1, 0.5)])
    hours = read_rhythm(store, Span(NOON, NOON + 48 * HOUR)).hours
    assert {hour: n for hour, n in enumerate(hours) if n} == {11: 1, 12: 1, 13: 1}


def test_a_customer_who_comes_twice_is_one(tmp_path: Path) -> None:
    twice = [prediction(number, 0.5, customer_id="same") for number in range(2)]
    nobody = prediction(3, 0.5, customer_id=None)
    assert read_rhythm(store_with(tmp_path, [*twice, nobody]), DAY).customers == 1


def test_the_riskiest_come_first_and_the_others_not_at_all(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(n, p) for n, p in enumerate((0.65, 0.9, 0.2, 0.7))])
    found = read_riskiest(store, DAY, at_least=0.6, most=2)
    assert [scored.probability for scored in found] == [0.9, 0.7]


def test_the_riskiest_name_the_model_that_answered(tmp_path: Path) -> None:
    told = {"challenger": CHALLENGER, "challenger_probability": 0.8, "challenger_positive": True}
    rows = [prediction(0, 0.9, **told), prediction(1, 0.1, variant="challenger", **told)]
    found = read_riskiest(store_with(tmp_path, rows), DAY, at_least=0.6, most=2)
    assert [scored.model for scored in found] == [CHAMPION, CHALLENGER]


def test_what_was_seen_reaches_from_the_first_to_the_last(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(5, 0.5), prediction(1, 0.5)])
    assert read_seen(store) == Span(NOON + MINUTE, NOON + 5 * MINUTE + 1)
    assert read_seen(store, Span(NOON, NOON + 2 * MINUTE)) == Span(NOON + MINUTE, NOON + MINUTE + 1)
    with pytest.raises(NotFound, match="no predictions from 1970"):
        read_seen(store, Span(0, NOON))


def test_what_ifs_are_nothing_that_was_seen(tmp_path: Path) -> None:
    rows = [prediction(0, 0.5, purpose="what_if"), prediction(1, 0.5), prediction(9, 0.5, purpose="what_if")]
    assert read_seen(store_with(tmp_path, rows)) == Span(NOON + MINUTE, NOON + MINUTE + 1)


def test_the_newest_come_first_and_only_what_is_live(tmp_path: Path) -> None:
    rows = [prediction(n, p) for n, p in enumerate((0.1, 0.2, 0.3))]
    store = store_with(tmp_path, [*rows, prediction(5, 0.9, purpose="what_if")])
    assert read_newest(store, DAY, most=2) == Newest(NOON + 2 * MINUTE, (0.3, 0.2))
    with pytest.raises(NotFound, match="no predictions from"):
        read_newest(store, Span(0, NOON), most=2)


def test_features_fall_into_the_references_bins(tmp_path: Path) -> None:
    rows = [
        {"fee": 19.99, "plan": "month", "age": 39},
        {"fee": 20, "plan": "year", "age": 40},
        {"fee": 50.0, "plan": None, "age": 120},
        {"fee": 99.5, "plan": "century", "age": 0},
    ]
    store = store_with(tmp_path, [prediction(n, 0.1 * n, features=row) for n, row in enumerate(rows)])
    counted = read_counted(store, DAY, MODEL)
    assert counted.features == {"fee": (1, 1, 1), "plan": (1, 1, 1, 0), "age": (1, 2)}
    assert (counted.scores, counted.score_sum) == ((3, 1, 0), pytest.approx(0.6))
    assert (counted.rows, counted.unreadable) == (3, 1)  # no century under this contract


def test_a_models_own_scores_are_compared_whichever_role_it_had(tmp_path: Path) -> None:
    as_challenger = prediction(0, 0.9, champion="sha256:old", challenger=CHAMPION, challenger_probability=0.1)
    of_another = prediction(1, 0.9, champion="sha256:old")
    counted = read_counted(store_with(tmp_path, [as_challenger, of_another]), DAY, MODEL)
    assert counted.scores == (1, 0, 0)


def test_the_newest_are_compared(tmp_path: Path) -> None:
    store = store_with(tmp_path, [prediction(n, p) for n, p in enumerate((0.1, 0.1, 0.9))])
    counted = read_counted(store, DAY, MODEL, most=1)
    assert (counted.rows, counted.scores) == (1, (0, 0, 1))


def test_repeats_weigh_named_customers_by_how_often_they_come(tmp_path: Path) -> None:
    often = [prediction(n, 0.5, customer_id="same") for n in range(3)]
    store = store_with(tmp_path, [*often, prediction(4, 0.5), prediction(5, 0.5, customer_id=None)])
    assert read_counted(store, DAY, MODEL).repeats == (9 + 1) / 4


def test_only_what_has_matured_counts_with_the_truth_known_then(tmp_path: Path) -> None:
    rows = [prediction(0, 0.72), prediction(1, 0.78), prediction(2, 0.75), prediction(100, 0.75)]
    told = [
        outcome(rows[0], True, after=10 * MINUTE),
        outcome(rows[1], True, after=5 * MINUTE),
        outcome(rows[1], False, after=10 * MINUTE),
        outcome(rows[3], True, after=MINUTE),
    ]
    store = store_with(tmp_path, rows, told)
    found = read_outcomes(store, DAY, predictions=4, window=HOUR, moment=NOON + HOUR + 30 * MINUTE)
    [tenth] = found.bins
    assert (tenth.bin, tenth.n, tenth.told, tenth.positive, tenth.right) == (7, 3, 2, 1, 1)
    assert (tenth.promised, found.waiting) == (pytest.approx(1.5), 1)
    assert found.brier == pytest.approx((0.28**2 + 0.78**2) / 2)
    assert found.calibration_error == pytest.approx(0.25)
    assert read_last_told(store) == told[3]["observed_at"]


def test_the_newest_of_a_window_are_counted_as_a_window_is(tmp_path: Path) -> None:
    rows = [prediction(n, (n % 10) / 10, customer_id=f"c{n % 7}") for n in range(60)]
    store = store_with(tmp_path, rows)
    window = Window(since=from_micros(DAY.start), until=from_micros(DAY.end))
    with store.reading() as connection:
        (counted,) = count_window(connection, [MODEL], window)
    found = read_counted(store, DAY, MODEL)
    assert (found.features, found.scores) == (counted.features, counted.scores)
    assert (found.rows, found.customers, found.repeats) == (counted.rows, counted.customers, counted.repeats)
    assert found.score_sum == pytest.approx(counted.score_sum)
