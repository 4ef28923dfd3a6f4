"""Being told to stop by a signal, safely: a handler may interrupt anything, so it must take no lock.

`threading.Event.set` takes one, and a signal that arrives while the same thread waits for the event can lock the
process up for good. A plain flag that is looked at ten times a second cannot.
"""

from __future__ import annotations

import signal
import time

_LOOK_SECONDS = 0.1


class Stop:
    """A flag that only ever goes up."""

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        """Tell everybody who waits to stop."""
        self._is_set = True

    def is_set(self) -> bool:
        """Whether to stop."""
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Wait until told to stop, so long at most; gives whether to stop."""
        until = time.monotonic() + seconds
        while not self._is_set and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, _LOOK_SECONDS))
        return self._is_set


def stop_at_signals() -> Stop:
    """A flag that SIGTERM and SIGINT raise from now on."""
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
