"""How many rows are worked through before others get their turn."""

import asyncio

import pytest

from service.routes.turns import TURN_SECONDS, Turns


def test_before_anything_was_measured_few_rows_are_taken():
    assert Turns(512).rows == 128
    assert Turns(8).rows == 8


def test_a_fast_model_takes_as_many_rows_as_there_may_be():
    turns = Turns(512)
    turns.note(128, 128e-6)
    assert turns.rows == 512


def test_a_slow_model_takes_as_many_as_fit_in_a_turn():
    turns = Turns(512)
    turns.note(100, 100 * TURN_SECONDS / 60)
    assert turns.rows == pytest.approx(60, abs=1)


def test_a_very_slow_model_still_takes_some():
    turns = Turns(512)
    turns.note(100, 100.0)
    assert turns.rows == 16


def test_a_pause_of_the_machine_is_forgotten_after_a_few_turns():
    turns = Turns(512)
    turns.note(128, 0.001)
    turns.note(128, 3.0)
    assert turns.rows == 16
    for _ in range(12):
        turns.note(16, 16 * TURN_SECONDS / 600)
    assert turns.rows == 512


def test_one_that_takes_no_time_by_the_clock_is_no_error():
    turns = Turns(512)
    turns.note(1, 0.0)
    assert turns.rows == 512


def test_turns_are_taken_one_at_a_time_in_order_and_a_turn_with_rows_is_measured():
    async def take(turns: Turns, name: str, seen: list[str]) -> None:
        async with turns.take(4):
            seen.append(f"{name} begins")
            await asyncio.sleep(0)
            seen.append(f"{name} ends")

    async def both() -> tuple[list[str], int]:
        turns, seen = Turns(512), []
        await asyncio.gather(take(turns, "one", seen), take(turns, "two", seen))
        return seen, turns.rows

    seen, rows = asyncio.run(both())
    assert seen == ["one begins", "one ends", "two begins", "two ends"]
    assert rows != 128
