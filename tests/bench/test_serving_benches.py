"""Every bench of serving, as short as it can be: that it runs, and that what it measures answers rightly."""

from __future__ import annotations

import pytest

from tests.bench import alternatives, batch, console, explaining, memory, overload, profile_request, serving
from tests.bench.installation import prepare
from tests.bench.machine import CannotMeasure, check, look, say
from tests.bench.report import render

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1800)]

OURS = {"hello", "floor", "gauntlet", "gauntlet-bentoml", "bento-sklearn"}
"""What needs no environment but the project's own."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    try:
        check("wrk", "taskset", "setpriv")
    except CannotMeasure as e:
        pytest.skip(str(e))
    return prepare(tmp_path_factory.mktemp("bench") / "installation")


def test_every_server_answers_as_scikit_learn_does_or_says_why_it_is_not_measured(site):
    found = serving.run(site, seconds=1, pairs=1)
    say(render(found))
    assert {run.server for run in found.good} >= OURS
    assert [run.problem for run in found.measured] == [None] * len(found.measured)
    assert all(skipped.reason for skipped in found.skipped)


def test_a_flood_is_answered_with_200_or_429_and_nothing_else(site):
    capacity, floods = overload.run(site, times=(0.5, 2.0), seconds=2)
    say(overload.render(look(), capacity, floods, overload.CONNECTIONS))
    assert capacity.is_good
    for found in floods:
        assert found.accepted
        assert found.accepted + found.refused + found.unsent == found.due


def test_scores_and_explanations_are_answered_side_by_side(site):
    found = explaining.run(site, niceness=19, rate=50, seconds=2, pairs=1)
    say(explaining.render(look(), [found], explaining.CLIENTS))
    assert all(pair.is_good for pair in found.pairs)


def test_every_page_of_the_console_is_drawn_and_says_nothing_wrong(site, tmp_path):
    url = f"sqlite:///{tmp_path}/store.db"
    console.fill(url, site, 2000)
    with console.console(site, url) as address:
        for path in console.PAGES:
            ((drawn, asked),) = console.measure(address, path, 1)
            assert 0 < asked < drawn, path


def test_a_worker_with_two_models_starts_and_answers_many_requests(site):
    grown = memory.run(site, requests=50_000, starts=1)
    say(memory.render(look(), grown))
    assert grown.failed == 0
    assert grown.points[-1].requests >= 45_000


def test_batches_are_answered_row_by_row_beside_single_rows(site):
    pairs, together = batch.run(site, seconds=1, pairs=1)
    say(batch.render(look(), pairs, together))
    assert all(pair.ours.is_good and pair.floors.is_good for pair in pairs)
    assert together.busy.accepted == together.busy.due


def test_every_stage_of_a_request_is_timed(site):
    stages, served = profile_request.run(site, seconds=1)
    say(profile_request.render(look(), stages, served))
    assert all(micros > 0 for times in stages.values() for micros in times.values())


def test_what_is_done_otherwise_answers_as_the_entry_does(site):
    tried, skipped, pieces = alternatives.run(site, seconds=1)
    say(alternatives.render(look(), tried, skipped, pieces))
    assert {one.name for one in tried} >= {"uvicorn", "unfrozen", "a-write-each", "a-row-each"}
    assert all(micros > 0 for found in pieces.values() for micros in found)
