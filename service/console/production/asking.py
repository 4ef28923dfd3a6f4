"""What the page Production asks the store, once for all pictures of the same choice; and the choice itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from bentos.command_line import rules_of
from bentos.errors import BadInput, shown
from service.console.production.course import by_piece, holding
from service.console.production.drift_reading import read_counted
from service.console.production.outcomes import Outcomes, read_last_told, read_outcomes
from service.console.production.reading import (
    Cell,
    Newest,
    Rhythm,
    Scored,
    read_cells,
    read_newest,
    read_rhythm,
    read_riskiest,
    read_seen,
)
from service.console.production.showing import ALL, DATES, LAST_TOLD, NOW, SPANS, WINDOW
from service.console.production.spans import Span, between, last, piece_of
from service.console.sources import Sources
from service.micros import from_micros, to_micros
from validation.drift.comparing import Counted
from validation.drift.counting import ReferenceModel
from validation.judge.policy import load_policy

_LISTED = 200
_DRAWING_SECONDS = 2.0
"""All pictures ask within that time; then they are of the same span."""

T = TypeVar("T")


@dataclass(frozen=True)
class Chosen:
    """Which predictions are looked at, as the controls say.

    Attributes:
        span: A key of `SPANS`, `ALL` or `DATES`.
        first: With `DATES` the first day.
        final: With `DATES` the last day.
    """

    span: str | None
    first: str | None
    final: str | None

    def among(self, sources: Sources) -> Span:
        """The stretch of time that this is now."""
        if self.span == DATES:
            return between(self.first, self.final)
        if self.span not in (*SPANS, ALL):
            raise BadInput(f"time: {shown(self.span)} is not allowed; it must be one of {', '.join(SPANS)}, all, dates")
        if self.span == ALL:
            return read_seen(sources.store())
        return last(SPANS[self.span][1], to_micros(datetime.now(UTC)))


@dataclass(frozen=True)
class AsSeen:
    """What came true, as it looked from a moment.

    Attributes:
        outcomes: What came true.
        moment: The moment, in words.
    """

    outcomes: Outcomes
    moment: str


class Answers:
    """The store's answers for one choice; whoever asks again within two seconds gets the same.

    Those that depend on the span are kept by it, so that all that is shown beside it is of it. Every method may raise a
    GauntletError.
    """

    def __init__(self, sources: Sources, chosen: Chosen) -> None:
        """Ask nothing yet."""
        self._sources, self._chosen = sources, chosen

    def _kept(self, what: str, of: Chosen | Span, ask: Callable[[], T]) -> T:
        return self._sources.kept(("production", what, of), ask, seconds=_DRAWING_SECONDS)

    def span(self) -> Span:
        """The stretch of time."""
        return self._kept("span", self._chosen, lambda: self._chosen.among(self._sources))

    def cells(self) -> tuple[Cell, ...]:
        """Production by time, probability and risk."""
        span, bands, length = self.span(), self._sources.contract().risk_bands, self.piece()
        return self._kept("cells", span, lambda: read_cells(self._sources.store(), span, length, bands))

    def piece(self) -> int:
        """How long pieces of time are.

        What was predicted decides, not how far back is looked: the same predictions are the same picture, in the last
        week and in the last month.
        """
        span = self.span()
        if self._chosen.span == ALL:  # it begins with the first and ends with the last
            return piece_of(span)
        return self._kept("piece", span, lambda: piece_of(read_seen(self._sources.store(), span)))

    def newest(self, window: int) -> Newest:
        """The last so many predictions."""
        span, bands = self.span(), len(self._sources.contract().risk_bands)
        start = max(span.start, holding(by_piece(self.cells(), bands=bands), window))
        return self._kept(
            f"newest {window}", span, lambda: read_newest(self._sources.store(), Span(start, span.end), most=window)
        )

    def rhythm(self) -> Rhythm:
        """Hours of the day, and customers."""
        span = self.span()
        return self._kept("rhythm", span, lambda: read_rhythm(self._sources.store(), span))

    def counted(self) -> Counted:
        """The newest predictions by the bins of the champion's reference."""
        sources, span = self._sources, self.span()
        digest, contract, reference = sources.champion().digest, sources.contract(), sources.reference()
        model = ReferenceModel(label="", digest=digest, contract=contract, reference=reference)
        return self._kept("counted", span, lambda: read_counted(sources.store(), span, model))

    def outcomes(self, moment: str) -> AsSeen:
        """What came true; `moment` is `NOW` or `LAST_TOLD`."""
        span = self.span()
        return self._kept(f"outcomes {moment}", span, lambda: self._outcomes(span, moment))

    def _outcomes(self, span: Span, moment: str) -> AsSeen:
        store, sources = self._sources.store(), self._sources
        now, told = to_micros(datetime.now(UTC)), read_last_told(store)
        seen_from = max(now, told) if moment == LAST_TOLD and told is not None else now
        window = load_policy(rules_of(sources.settings.policy_file, sources.folder)).maturity_window
        predictions = sum(cell.n for cell in self.cells())
        outcomes = read_outcomes(store, span, predictions=predictions, window=window, moment=seen_from)
        return AsSeen(outcomes, f"as of {from_micros(seen_from):%Y-%m-%d %H:%M} UTC")

    def riskiest(self) -> tuple[Scored, ...]:
        """The predictions with the highest probabilities, those of the highest band alone."""
        span, lowest = self.span(), self._sources.contract().risk_bands[-1].from_probability
        store = self._sources.store
        return self._kept("riskiest", span, lambda: read_riskiest(store(), span, at_least=lowest, most=_LISTED))


def first_questions(sources: Sources) -> Sequence[Callable[[], object]]:
    """What the page asks when it is opened: of its first screen first, then what takes the browser the longest."""
    answers = Answers(sources, Chosen(ALL, None, None))
    return (
        lambda: answers.newest(WINDOW),
        answers.counted,
        answers.riskiest,
        answers.rhythm,
        lambda: answers.outcomes(NOW),
    )
