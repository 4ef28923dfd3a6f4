"""When something is left alone for a while, because it keeps failing or takes too long.

A challenger is, and whoever writes insight's e-mails; the champion never is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

FAILURES = 5
"""So many calls in a row that failed or overran the budget open the circuit."""

PAUSE_SECONDS = 30.0
"""For so long an open circuit lets nothing through; then one call tries."""


class Circuit:
    """One challenger's circuit, or another's.

    Attributes:
        is_open: Whether it is left alone.
        opened: How often it was opened.
    """

    def __init__(
        self, model: str, *, budget_seconds: float, clock: Callable[[], float], plane: str = "scoring"
    ) -> None:
        """Begin closed.

        Args:
            model: Whose circuit, for the log.
            budget_seconds: What one call may take.
            clock: Monotonic, in seconds.
            plane: Whose log tells of it: scoring's, where challengers are left alone, or insight's.
        """
        self._logger = logging.getLogger(f"gauntlet.{plane}")
        self._event = "challenger_circuit" if plane == "scoring" else f"{plane}_circuit"
        self.is_open = False
        self.opened = 0
        self._model = model
        self._budget_seconds = budget_seconds
        self._clock = clock
        self._failures = 0
        self._closed_until = 0.0

    def lets_through(self) -> bool:
        """Whether it may be asked now."""
        return not self.is_open or self._clock() >= self._closed_until

    def note(self, *, failed: bool, seconds: float) -> None:
        """Take notice of a call: whether no row of it was answered, and what it took."""
        if not failed and seconds <= self._budget_seconds:
            if self.is_open:
                self._logger.warning(f"{self._event}_closed", extra={"model": self._model})
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
            self._logger.error(f"{self._event}_opened", extra={"model": self._model, "reason": reason})
