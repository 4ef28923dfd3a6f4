"""A PostgreSQL that has fallen silent: it takes connections or holds them, and answers nothing.

A frozen machine or a disk that hangs does that, and no setting of the server or of TCP ends the wait. For a process in
which people wait, such as the console, every question is waited for so long and no longer; and while the server is
silent one question at a time goes there to find out, and all others fail at once. So neither a page nor a probe of the
process hangs with it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

T = TypeVar("T")

_PAUSE_SECONDS = 5.0
"""After nobody answered, nobody asks for so long: who waited for the same has its answer too."""
_SHORTEST_CONNECT, _LONGEST_CONNECT = 2, 10
"""Seconds; libpq knows no less than two."""


class Silence:
    """Whether one server is silent. Safe for several threads.

    Attributes:
        seconds: How long an answer is waited for.
    """

    def __init__(self, seconds: float) -> None:
        """Nothing is known of the server yet."""
        self.seconds = seconds
        self._is_silent = False
        self._finding_out = threading.Lock()
        self._again_at = 0.0

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Ask something within.

        Raises:
            psycopg.OperationalError: The server is silent, and somebody else is finding out whether it still is.
        """
        self.look()
        finds_out = self._is_silent
        if finds_out and not self._finding_out.acquire(blocking=False):
            raise self.error()
        try:
            yield
            self._is_silent = False
        except psycopg.errors.ConnectionTimeout as e:
            self._note()
            raise self.error() from e
        except _Silent:
            self._note()
            raise
        finally:
            if finds_out:
                self._finding_out.release()

    def look(self) -> None:
        """Before anything is waited for: raise as `asking` where somebody is finding out, or has just found out."""
        if self._is_silent and (self._finding_out.locked() or time.monotonic() < self._again_at):
            raise self.error()

    def _note(self) -> None:
        self._again_at = time.monotonic() + min(self.seconds, _PAUSE_SECONDS)
        self._is_silent = True

    def error(self) -> psycopg.OperationalError:
        """What is said while it is silent."""
        return _Silent(f"it has not said anything for {self.seconds:g} s")

    def connect(self, _dialect: Any, _record: Any, arguments: Any, parameters: dict[str, Any]) -> Any:
        """SQLAlchemy's `do_connect`: a connection that waits so long and no longer."""
        most = int(parameters.get("connect_timeout", _LONGEST_CONNECT))
        bounded = {**parameters, "connect_timeout": max(_SHORTEST_CONNECT, min(most, math.ceil(self.seconds)))}
        with self.asking():
            made = _Bounded.connect(*arguments, **bounded)
        made.silence = self
        return made


class _Silent(psycopg.OperationalError):
    """The server is silent."""


class _Bounded(psycopg.Connection[Any]):
    """A connection that is given up once an answer takes too long."""

    silence: Silence | None = None  # while it is being made, `connect_timeout` bounds it

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As psycopg's, but not for ever.

        Raises:
            psycopg.OperationalError: The server is silent.
        """
        silence = self.silence
        if silence is None or timeout is not None:
            return super().wait(gen, interval, timeout)
        with silence.asking():
            try:
                return super().wait(gen, interval, silence.seconds)
            except psycopg.errors._WaitTimeout as e:
                self.pgconn.finish()  # its answer may come later, and would be taken for that of the next question
                raise silence.error() from e
