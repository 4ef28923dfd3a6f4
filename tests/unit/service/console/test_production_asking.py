"""What the pictures of Production ask for together; and a live page sees what came since."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from console_toys import settings_in
from production_toys import CHAMPION, prediction, store_with, toy_contract, toy_reference

from service.console import sources as module
from service.console.production.asking import Answers, Chosen
from service.console.production.showing import NOW
from service.console.sources import Sources
from service.store import tables


class Clock:
    """A clock that a test moves on."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


def test_a_live_page_sees_what_came_since(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    sources, store = Sources(settings_in(tmp_path)), store_with(tmp_path, [prediction(0, 0.1), prediction(1, 0.9)])
    told = {"store": store, "contract": toy_contract(), "reference": toy_reference()}
    told["champion"] = SimpleNamespace(digest=CHAMPION)
    for name, value in told.items():
        setattr(sources, name, lambda value=value: value)

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
