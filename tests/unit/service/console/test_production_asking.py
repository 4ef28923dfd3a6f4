"""What the pictures of Production ask for together; and a live page sees what came since."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from console_toys import settings_in
from production_toys import CHAMPION, NOON, prediction, store_with, toy_contract, toy_reference

from service.console import sources as module
from service.console.production.asking import Answers, Chosen
from service.console.production.showing import NOW
from service.console.production.spans import SECOND
from service.console.sources import Sources
from service.micros import from_micros
from service.store import Store, tables


class Clock:
    """A clock that a test moves on."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def sources_of(tmp_path: Path, store: Store) -> Sources:
    """A console that reads this store and knows a toy as champion."""
    sources = Sources(settings_in(tmp_path))
    told = {"store": store, "contract": toy_contract(), "reference": toy_reference()}
    told["champion"] = SimpleNamespace(digest=CHAMPION)
    for name, value in told.items():
        setattr(sources, name, lambda value=value: value)
    return sources


def test_a_live_page_sees_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    store = store_with(tmp_path, [prediction(0, 0.1), prediction(1, 0.9)])
    sources = sources_of(tmp_path, store)

    def seen() -> tuple[int, ...]:
        answers = Answers(sources, Chosen("all", None, None))
        counted = (sum(cell.n for cell in answers.cells()), sum(answers.rhythm().hours), len(answers.riskiest()))
        outcomes = answers.outcomes(NOW).outcomes
        return (*counted, answers.counted().rows, outcomes.n + outcomes.waiting)

    assert seen() == (2, 2, 1, 2, 2)
    with store.writing() as connection:
        connection.execute(tables.predictions.insert(), [prediction(700, 0.95)])
    assert seen() == (2, 2, 1, 2, 2), "all pictures are of the same moment"
    clock.now += 3
    assert seen() == (3, 3, 2, 3, 3)


def test_the_last_predictions_are_the_same_however_far_back_one_looks(tmp_path: Path) -> None:
    """Otherwise who looks at a month sees another alert than who looks at a day."""
    chances = [0.1] * 30 + [0.9] * 20
    rows = [prediction(minute, p) for minute, p in enumerate(chances)]
    sources = sources_of(tmp_path, store_with(tmp_path, [*rows, prediction(5000, 0.5, purpose="what_if")]))
    day = f"{from_micros(NOON):%Y-%m-%d}"
    for chosen in (Chosen("all", None, None), Chosen("dates", "2020-01-01", day), Chosen("dates", day, "2039-12-31")):
        answers = Answers(sources, chosen)
        assert answers.newest(20).probabilities == (0.9,) * 20
        assert answers.newest(25).probabilities == (0.9,) * 20 + (0.1,) * 5
        assert answers.newest(100).probabilities == (0.9,) * 20 + (0.1,) * 30
        assert answers.piece() == 15 * SECOND, "of the 49 minutes with predictions"
