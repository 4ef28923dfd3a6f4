"""What scoring a shard cost, over all the processes that were started on it: a kill does not make it cheaper."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from bentos.artifact import write_beside

_NAME = "work.json"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What a shard cost so far.

    Attributes:
        runs: How many processes began to score it; more than one where one was killed, or could not go on.
        seconds: How long they worked together; one that was killed, until its last chunk was done.
    """

    runs: int
    seconds: float


class Clock:
    """Counts a shard's work, in a file beside its chunks."""

    def __init__(self, work: Path, began_seconds: float) -> None:
        """Count one more process.

        Args:
            work: Where the chunks are; nobody else writes there.
            began_seconds: When this process began, by the monotonic clock.
        """
        self._path = work / _NAME
        self._began_seconds = began_seconds
        self._before = _read(self._path)
        self.note()

    def note(self) -> None:
        """Write down what is done, so that a kill from now on costs no more than what follows."""
        write_beside(self._path, msgspec.json.encode(self.so_far()))

    def so_far(self) -> Work:
        """What the shard cost until now."""
        seconds = self._before.seconds + time.monotonic() - self._began_seconds
        return Work(runs=self._before.runs + 1, seconds=round(seconds, 3))


def read_work(record: Path) -> Work | None:
    """What a shard's record says; None where there is none, as an older version left none, or it is damaged."""
    try:
        return msgspec.json.decode(record.read_bytes(), type=Work)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _read(path: Path) -> Work:
    return read_work(path) or Work(runs=0, seconds=0.0)
