"""What several pictures of a page ask for is asked for once."""

from pathlib import Path

import pytest
from console_toys import settings_in

from bentos.errors import Unavailable
from service.console import sources as module
from service.console.sources import Sources


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


def test_an_answer_is_asked_for_again_once_it_is_no_longer_fresh(tmp_path: Path, clock: Clock) -> None:
    sources, answers = Sources(settings_in(tmp_path)), iter(range(9))
    assert [sources.kept("a", lambda: next(answers), seconds=5) for _ in range(3)] == [0, 0, 0]
    clock.now = 6
    assert sources.kept("a", lambda: next(answers), seconds=5) == 1
    assert sources.kept("b", lambda: next(answers)) == 2


def test_an_answer_that_took_long_is_fresh_from_when_it_was_there(tmp_path: Path, clock: Clock) -> None:
    sources, asked = Sources(settings_in(tmp_path)), []

    def ask() -> int:
        clock.now += 60
        asked.append(clock.now)
        return len(asked)

    assert [sources.kept("slow", ask, seconds=5) for _ in range(3)] == [1, 1, 1]


def test_a_failure_is_not_kept(tmp_path: Path) -> None:
    sources, answers = Sources(settings_in(tmp_path)), [1]

    def ask() -> int:
        if len(answers) == 1:
            answers.append(2)
            raise Unavailable("away")
        return answers[-1]

    with pytest.raises(Unavailable):
        sources.kept("failing", ask)
    assert sources.kept("failing", ask) == 2
