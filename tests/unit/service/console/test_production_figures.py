"""The pictures of production: what they show, and that each can be read without being seen."""

import json
from dataclasses import replace

import pytest
from production_toys import CELLS, NOON, toy_contract, toy_counted, toy_reference

from bentos.errors import NotFound
from bentos.palette import IN_THE_DARK
from service.console.production import drift_figures, figures
from service.console.production.course import Point, by_piece, histogram
from service.console.production.drift import compare
from service.console.production.outcomes import Outcomes, Told
from service.console.production.spans import SECOND, Span

SPAN = Span(NOON, NOON + 120)


def all_figures():
    contract, found = toy_contract(), toy_counted((900, 50, 50))
    drifts = compare(toy_reference(), found, SPAN)
    outcomes = Outcomes((Told(1, 10, 8, 1, 7, 1.2, 0.5), Told(7, 5, 5, 4, 4, 3.7, 0.9)), 3)
    point = Point(NOON, 20, 0.3, 0.25, 0.35)
    yield figures.volume(by_piece(CELLS, bands=3), 1_000_000, SPAN, contract)
    yield figures.hours([1] * 24, SPAN)
    yield figures.probabilities(histogram(CELLS, bands=3), SPAN, contract)
    yield figures.rolling_mean([point], 20, SECOND, contract, 0.3)
    yield drift_figures.overview(drifts, found, SPAN)
    yield drift_figures.distributions(drifts[0], toy_reference().n)
    yield drift_figures.calibration(outcomes, contract, seen_from="as of then")


@pytest.mark.parametrize("figure", [*all_figures()], ids=lambda figure: figure.name)
def test_a_picture_says_what_it_shows_of_how_many(figure) -> None:
    assert figure.title
    assert "n = " in figure.says or "last 20" in figure.says
    heading, rows = figure.table
    assert rows
    assert all(len(row) == len(heading) for row in rows)
    assert figure.layout["xaxis"]["title"]["text"]
    assert "churn" not in json.dumps([figure.title, figure.says, figure.layout, figure.traces]).lower()


@pytest.mark.parametrize("figure", [*all_figures()], ids=lambda figure: figure.name)
def test_every_colour_has_one_for_the_dark(figure) -> None:
    said = json.dumps([figure.traces, figure.layout])
    colours = {said[at : at + 7] for at in range(len(said)) if said[at] == "#" and said[at + 1 : at + 7].isalnum()}
    assert colours <= set(IN_THE_DARK)


def test_labels_come_from_the_contract() -> None:
    volume = next(all_figures())
    assert [trace["name"] for trace in volume.traces] == ["leaves = here", "leaves = gone"]


@pytest.mark.parametrize(
    ("outcomes", "why"),
    [
        (Outcomes((), 7), "no prediction has matured yet \\(7 are waiting\\)"),
        (Outcomes((Told(1, 10, 0, 0, 0, 0.0, 0.0),), 0), "10 predictions have matured and none"),
    ],
)
def test_where_nothing_came_true_yet_it_is_said(outcomes: Outcomes, why: str) -> None:
    with pytest.raises(NotFound, match=why):
        drift_figures.calibration(outcomes, toy_contract(), seen_from="as of then")


def test_a_window_that_is_never_full_is_no_empty_picture() -> None:
    with pytest.raises(NotFound, match="fewer than 500"):
        figures.rolling_mean([], 500, SECOND, toy_contract(), 0.3)


def test_predictions_of_another_contract_are_said_to_be_left_out() -> None:
    found = toy_counted((300, 400, 300))
    drifts = compare(toy_reference(), found, SPAN)
    whole, parted = (drift_figures.overview(drifts, one, SPAN).says for one in (found, replace(found, unreadable=7)))
    assert parted == f"{whole} 7 of another contract are left out."
