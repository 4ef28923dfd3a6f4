"""When a challenger is left alone for a while, because it keeps failing or takes too long; the champion never is."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("gauntlet.scoring")

FAILURES = 5
"""So many calls in a row that failed or overran the budget open the circuit."""

PAUSE_SECONDS = 30.0
"""For so long an open circuit lets nothing through; then one call tries."""


class Circuit:
    """One challenger's circuit.

    Attributes:
        is_open: Whether the challenger is left alone.
        opened: How often it was opened.
    """

    def __init__(self, model: str, *, budget_seconds: float, clock: Callable[[], float]) -> None:
        """Begin closed.

        Args:
            model: Whose circuit, for the log.
            budget_seconds: What one call may take.
            clock: Monotonic, in seconds.
        """
        self.is_open = False
        self.opened = 0
        self._model = model
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    def lets_through(self) -> bool:
        """Whether the challenger may be asked now."""
        return not self.is_open or self._clock() >= self._closed_until

    def note(self, *, failed: bool, seconds: float) -> None:
        """Take notice of a call: whether no row of it was answered, and what it took."""
        if not failed and seconds <= self._budget_seconds:
            if self.is_open:
                logger.warning("challenger_circuit_closed", extra={"model": self._model})
            self._failures, self.is_open = 0, False
            return
        self._failures += 1
        if self._failures >= FAILURES:
            self._open("it failed" if failed else f"it took {seconds:.3f} s of {self._budget_seconds:g} s")

    def _open(self, reason: str) -> None:
        self._closed_until = self._clock() + PAUSE_SECONDS
        if not self.is_open:
            self.is_open = True
            self.opened += 1
            logger.error("challenger_circuit_opened", extra={"model": self._model, "reason": reason})
