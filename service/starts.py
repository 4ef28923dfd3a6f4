"""Deaths of a worker, counted over its restarts: after two within a minute it serves without challengers.

`NAME.starts` is there while a worker runs and names its deaths of the last minute. A worker that finds it was not
taken away knows that the one before it died: killed, out of memory, or brought down by a model's native code. So the
same count holds under a parent that starts workers again and in a container that is started again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from bentos.errors import GauntletError
from service.counters.file import claim
from service.settings import Settings

logger = logging.getLogger("gauntlet.starts")

MINUTE_SECONDS = 60.0
DEATHS = 2
"""So many deaths within a minute leave the challengers out: one may be anything, two have a cause that stays."""

_SUFFIX = ".starts"


class _Record(msgspec.Struct, frozen=True):
    """What the file holds: deaths, as seconds since 1970 UTC, each noticed when the next worker started."""

    deaths: tuple[float, ...] = ()


@contextmanager
def counting_deaths(settings: Settings, clock: Callable[[], float] = time.time) -> Iterator[Settings]:
    """The settings to serve by while the block runs: without challengers after two deaths within a minute.

    A block that ends, is left by `sys.exit`, or is refused by an error that this project names is no death.

    Args:
        settings: Of this process.
        clock: Seconds since 1970 UTC.
    """
    path: Path | None = None
    lock: int | None = None
    deaths: tuple[float, ...] = ()
    try:
        settings.counters_path.mkdir(parents=True, exist_ok=True)
        path, lock = claim(settings.counters_path, settings.worker, _SUFFIX)
        deaths = _note_start(lock, clock())
    except OSError as e:
        logger.error("deaths_not_counted", extra={"reason": str(e)})
    if len(deaths) >= DEATHS:
        logger.error("challengers_left_out", extra={"worker": settings.worker, "deaths_in_a_minute": len(deaths)})
        settings = settings.model_copy(update={"without_challengers": True})
    try:
        yield settings
        _forget(path)
    except (GauntletError, OSError, SystemExit):
        _forget(path)
        raise
    finally:
        if lock is not None:
            os.close(lock)


def _note_start(file: int, now: float) -> tuple[float, ...]:
    """Deaths of the last minute, with this start's if the worker before it died; written for the next one."""
    content = os.pread(file, 65536, 0)
    deaths = _parse(content).deaths + ((now,) if content else ())
    recent = tuple(death for death in deaths if 0 <= now - death <= MINUTE_SECONDS)[-DEATHS:]
    os.ftruncate(file, 0)
    os.pwrite(file, msgspec.json.encode(_Record(recent)), 0)
    return recent


def _parse(content: bytes) -> _Record:
    try:
        return msgspec.json.decode(content, type=_Record)
    except msgspec.MsgspecError:  # a full disk left half of it, or nothing
        return _Record()


def _forget(path: Path | None) -> None:
    if path is not None:
        path.unlink(missing_ok=True)
