"""What several pictures of a page ask for is asked for once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
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


def test_a_question_that_is_asked_again_is_the_new_one(tmp_path: Path, clock: Clock) -> None:
    sources = Sources(settings_in(tmp_path))
    assert sources.kept("a", lambda: "then", seconds=5) == "then"
    clock.now = 6
    assert sources.kept("a", lambda: "now", seconds=5) == "now"


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


def test_who_waited_while_a_question_failed_does_not_ask_it_again(tmp_path: Path) -> None:
    sources, began, goes_on, asked = Sources(settings_in(tmp_path)), threading.Event(), threading.Event(), []

    def ask() -> int:
        asked.append(1)
        began.set()
        assert goes_on.wait(10)
        raise Unavailable("away")

    def question() -> str:
        try:
            return str(sources.kept("failing", ask))
        except Unavailable as e:
            return str(e)

    with ThreadPoolExecutor(4) as people:
        first = people.submit(question)
        assert began.wait(10)
        others = [people.submit(question) for _ in range(3)]
        time.sleep(0.2)  # they wait by now
        goes_on.set()
        assert [one.result(10) for one in (first, *others)] == ["away"] * 4
    assert len(asked) == 1
    assert question() == "away"
    assert len(asked) == 2, "who comes later asks anew"


def test_answers_that_are_over_are_not_kept_for_ever(tmp_path: Path, clock: Clock) -> None:
    sources = Sources(settings_in(tmp_path))
    for number in range(100):
        clock.now += 1
        sources.kept(("page", number), lambda: "answer", seconds=2)
    assert len(sources._kept) <= 4


def test_what_is_kept_without_end_stays(tmp_path: Path, clock: Clock) -> None:
    sources, answers = Sources(settings_in(tmp_path)), iter(range(9))
    assert sources.kept("for ever", lambda: next(answers), seconds=float("inf")) == 0
    clock.now = 1e9
    sources.kept("another", lambda: "answer")
    assert sources.kept("for ever", lambda: next(answers), seconds=float("inf")) == 0


def test_what_was_asked_ahead_is_not_asked_again(tmp_path: Path) -> None:
    sources, asked, was_asked = Sources(settings_in(tmp_path)), [], threading.Event()

    def question() -> int:
        return sources.kept("ahead", lambda: asked.append(1) or len(asked), seconds=60)

    sources.ask_ahead("page", lambda: [question, was_asked.set])
    assert was_asked.wait(10)
    assert question() == 1
    assert asked == [1]


def test_while_a_page_is_asked_ahead_it_is_not_begun_again(tmp_path: Path) -> None:
    sources, goes_on, began = Sources(settings_in(tmp_path)), threading.Event(), []
    try:
        for _ in range(5):
            sources.ask_ahead("page", lambda: [lambda: began.append(1), goes_on.wait])
        sources.ask_ahead("another", lambda: [lambda: began.append(2)])
        sources._asking["another"].result(10)
        assert sorted(began) == [1, 2]
    finally:
        goes_on.set()


def test_what_fails_ahead_is_asked_again_and_said_by_who_needs_it(tmp_path: Path) -> None:
    sources, asked = Sources(settings_in(tmp_path)), []

    def question() -> int:
        def ask() -> int:
            asked.append(1)
            raise Unavailable("the store is away")

        return sources.kept("failing", ask)

    sources.ask_ahead("page", lambda: [question])
    assert isinstance(sources._asking["page"].exception(10), Unavailable)
    with pytest.raises(Unavailable, match="the store is away"):
        question()
    assert len(asked) == 2
    sources.ask_ahead("page", lambda: [lambda: asked.append(2)])
    sources._asking["page"].result(10)
    assert asked[-1] == 2


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    """A console of a folder that holds runs, none of which anybody asks for."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sources = Sources(settings_in(tmp_path))
    sources.folder.tracking.write_bytes(b"runs")
    sources._open_registry = lambda: "the registry"  # type: ignore[assignment,return-value]
    return sources


def test_runs_that_are_another_file_than_was_opened_are_not_shown_as_if_they_were(installed: Sources) -> None:
    """MLflow would go on to read the file that it has opened, wherever it lies by now."""
    assert installed.registry() == "the registry"
    tracking, away = installed.folder.tracking, installed.folder.path / "away.db"
    tracking.rename(away)
    with pytest.raises(Unavailable, match="cannot be read: No such file"):
        installed.registry()
    tracking.write_bytes(b"others")
    with pytest.raises(Unavailable, match="was replaced by another file: start the console again"):
        installed.registry()
    tracking.unlink()
    away.rename(tracking)
    assert installed.registry() == "the registry"


@pytest.mark.parametrize("lost", ["store", "bento"])
def test_runs_that_are_lost_are_no_new_installation(installed: Sources, lost: str) -> None:
    installed.folder.tracking.unlink()
    step = installed.next_step(needs_predictions=False)
    assert step is not None
    assert step.command.startswith("gauntlet train")
    getattr(installed.folder, lost).touch()
    with pytest.raises(Unavailable, match="is missing, though"):
        installed.next_step(needs_predictions=False)
