"""Limits: a rate for each client, a bound on what is answered at once, patience with slow ones."""

import asyncio

import pytest

from service.http.limits import Bound, Patience, RateLimit
from service.http.problems import HttpRefusal


def test_a_bucket_empties_and_fills():
    rate = RateLimit(10, burst=5)
    for _ in range(5):
        rate.take("crm", 1, 100.0)
    with pytest.raises(HttpRefusal, match="more than 10 rows a second") as refused:
        rate.take("crm", 1, 100.0)
    assert refused.value.kind.status == 429
    assert refused.value.headers == ((b"retry-after", b"1"),)
    rate.take("crm", 1, 100.2)


def test_one_client_does_not_use_up_anothers_bucket():
    rate = RateLimit(1, burst=1)
    rate.take("crm", 1, 0.0)
    with pytest.raises(HttpRefusal):
        rate.take("crm", 1, 0.0)
    rate.take("web", 1, 0.0)


def test_a_call_that_is_larger_than_the_bucket_is_let_in_when_it_is_full_and_paid_for_later():
    rate = RateLimit(10, burst=20)
    rate.take("crm", 100, 0.0)
    with pytest.raises(HttpRefusal) as refused:
        rate.take("crm", 1, 1.0)
    assert int(refused.value.headers[0][1]) >= 7
    rate.take("crm", 1, 8.2)


def test_without_a_rate_there_is_no_limit():
    rate = RateLimit(0, burst=1)
    for _ in range(10_000):
        rate.take("crm", 1000, 0.0)


def test_a_refused_call_takes_nothing():
    rate = RateLimit(1, burst=10)
    rate.take("crm", 8, 0.0)
    for _ in range(5):
        with pytest.raises(HttpRefusal):
            rate.take("crm", 5, 0.0)
    rate.take("crm", 2, 0.0)


def test_a_request_that_took_long_to_arrive_finds_no_emptier_bucket():
    rate = RateLimit(10, burst=10)
    rate.take("crm", 1, 100.0)
    rate.take("crm", 9, 60.0)  # its head came 40 s before the other's
    with pytest.raises(HttpRefusal):
        rate.take("crm", 1, 100.0)


def test_a_stream_is_refused_at_its_beginning_and_slowed_down_later(monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        rate._buckets.clear()

    monkeypatch.setattr("service.http.limits.asyncio.sleep", sleep)
    rate = RateLimit(0.1, burst=5)
    run(rate.pay("crm", 5, may_wait=False))
    with pytest.raises(HttpRefusal):
        run(rate.pay("crm", 1, may_wait=False))
    assert slept == []
    run(rate.pay("crm", 1, may_wait=True))
    assert slept == [10.0]


def test_a_bound_lets_in_as_many_as_it_says():
    bound = Bound(2)
    bound.enter()
    bound.enter()
    with pytest.raises(HttpRefusal, match="2 requests are being answered") as refused:
        bound.enter()
    assert refused.value.headers == ((b"retry-after", b"1"),)
    bound.leave()
    bound.enter()


def test_no_more_are_let_in_than_can_be_answered_in_time():
    bound = Bound(256, longest_seconds=0.25)
    for _ in range(2000):
        bound.note(1, 0.01)
    assert bound.most == 25
    for _ in range(2000):
        bound.note(1, 0.0001)
    assert bound.most == 256


def test_a_pause_of_the_machine_turns_few_away_and_is_soon_forgotten():
    bound = Bound(256, longest_seconds=0.25)
    for _ in range(500):
        bound.note(1, 0.0005)
    bound.note(1, 1.0)
    assert bound.most > 50
    for _ in range(600):
        bound.note(1, 0.0005)
    assert bound.most == 256


def test_however_slow_a_model_is_one_is_let_in_so_that_it_can_be_measured_again():
    bound = Bound(256, longest_seconds=0.25)
    bound.note(256, 1e6)
    assert bound.most == 1
    while bound.most < 256:
        bound.enter()
        bound.leave()
        bound.note(1, 0.0001)


def run(coroutine):
    return asyncio.run(coroutine)


def test_patience_ends_a_wait_that_is_overdue_and_the_task_goes_on():
    async def scene():
        patience = Patience(0.0)
        waiting = asyncio.create_task(wait(patience))
        await asyncio.sleep(0.01)
        patience.sweep()
        return await waiting

    async def wait(patience):
        with pytest.raises(HttpRefusal) as refused:
            await patience.wait(asyncio.Event().wait())
        await asyncio.sleep(0)  # the cancellation is spent
        return refused.value.kind.status

    assert run(scene()) == 408


def test_patience_leaves_alone_who_is_in_time():
    async def scene():
        patience = Patience(60.0)
        waiting = asyncio.create_task(patience.wait(asyncio.sleep(0.01, "came")))
        await asyncio.sleep(0)
        patience.sweep()
        return await waiting

    assert run(scene()) == "came"


def test_a_cancellation_from_elsewhere_stays_one():
    async def scene():
        waiting = asyncio.create_task(Patience(60.0).wait(asyncio.Event().wait()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    run(scene())
