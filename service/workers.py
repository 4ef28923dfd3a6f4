"""Several scoring processes behind one socket: who dies or hangs is started again, and the others answer meanwhile.

The socket is this process's, and all workers wait at it: a connection that a dead worker would have taken is taken by
another, or waits. This module is in every image and carries neither numpy nor the store.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from service.children import BAD_START, Child, Children
from service.counters.file import names_of
from service.counters.reading import CountsReader
from service.stopping import stop_at_signals

if TYPE_CHECKING:
    import socket

    from service.settings import Settings

logger = logging.getLogger("gauntlet.supervisor")

LOOK_SECONDS = 0.1
BEATS_SECONDS = 0.5
"""How often heartbeats are read."""

LONGEST_GAP_SECONDS = 2.0
"""What one look adds at most to a worker's silence: where this process was stopped too, nobody was silent."""


@dataclass(frozen=True)
class Sockets:
    """What the workers of one server wait at: all at the same, so that one that hangs or died keeps nobody waiting.

    Attributes:
        clients: Of the port for clients.
        admin: Of the admin port.
    """

    clients: socket.socket
    admin: socket.socket

    @property
    def arguments(self) -> tuple[str, ...]:
        """By which a worker is told of them."""
        return ("--fd", str(self.clients.fileno()), "--admin-fd", str(self.admin.fileno()))

    def close(self) -> None:
        """Let the ports go."""
        self.clients.close()
        self.admin.close()


class Silences:
    """For how long each worker gave no sign of life while it was looked at."""

    def __init__(self, hang_seconds: float) -> None:
        self._hang_seconds = hang_seconds
        self._looked: float | None = None
        self._known: dict[int, tuple[float, float]] = {}

    def hung(self, beats: Mapping[int, float], now: float) -> list[int]:
        """Who is silent for too long.

        Args:
            beats: The last heartbeat of each process; those that never beat are not ready yet, and are left alone.
            now: The monotonic clock, seconds.
        """
        gap = 0.0 if self._looked is None else min(now - self._looked, LONGEST_GAP_SECONDS)
        self._looked = now
        before, self._known = self._known, {}
        for pid, beat in beats.items():
            last, silence = before.get(pid, (None, 0.0))
            self._known[pid] = (beat, silence + gap if beat == last else 0.0)
        return [pid for pid, (_, silence) in self._known.items() if silence > self._hang_seconds]


class Workers:
    """Scoring processes that are kept running.

    Attributes:
        children: One a worker.
    """

    def __init__(self, children: Collection[Child], *, counters: Path, hang_seconds: float) -> None:
        """Nothing runs before `start`.

        Args:
            children: One a worker.
            counters: The folder of their counts, in which their heartbeats are.
            hang_seconds: How long one that was ready may be silent.
        """
        self.children = Children(children)
        self._kept = kept_experiment(counters)
        self._counters = CountsReader(counters)
        self._silences = Silences(hang_seconds)
        self._heard = 0.0

    def start(self) -> None:
        """Start every one. A server that starts as a whole takes the experiment file as it is."""
        self._kept.unlink(missing_ok=True)
        self.children.start()

    def look(self, now: float) -> Child | None:
        """Kill who hangs and start again who died.

        Args:
            now: The monotonic clock, seconds.

        Returns:
            A worker that says it cannot serve this Bento, however often it is started, where no other runs.
        """
        if now - self._heard >= BEATS_SECONDS:
            self._heard = now
            self._listen(now)
        dead = self.children.look(now)
        refusing = [child for child, code in dead if code == BAD_START]
        if refusing and not self.children.is_any_running():
            return refusing[0]
        self.children.start_due(now)
        return None

    def stop(self, grace_seconds: float) -> None:
        """Stop all at the same time."""
        self.children.stop(grace_seconds)

    def _listen(self, now: float) -> None:
        running = {c.process.pid: c for c in self.children.children if c.process is not None}
        beats = {pid: beat for pid, beat in self._counters.beats().items() if pid in running}
        for pid in self._silences.hung(beats, now):
            logger.error("child_hangs", extra={"child": running[pid].name, "pid": pid})
            running[pid].kill()


def kept_experiment(counters: Path) -> Path:
    """Where workers keep the experiment that they serve by, for the one that is started in a dead one's place."""
    return counters / "experiment.yaml"


def make_workers(
    settings: Settings,
    sockets: Sockets,
    *,
    count: int,
    code: Callable[[], Path],
    environment: Mapping[str, str],
    logs: Path | None = None,
) -> Workers:
    """The workers of one server, not started.

    Args:
        settings: Of the server: the first worker's name, the counters' folder, how long one may hang.
        sockets: At which all of them wait.
        count: How many.
        code: Where their code is, asked at each start.
        environment: Of each, beside this process's own.
        logs: The folder of a log each; None: this process's own stderr.
    """

    def child(name: str) -> Child:
        own = {
            **environment,
            "GAUNTLET_WORKER": name,
            "GAUNTLET_WORKERS": "1",
            "GAUNTLET_HOST": settings.host,
            "GAUNTLET_KEPT_EXPERIMENT_FILE": str(kept_experiment(settings.counters_path)),
        }
        log = None if logs is None else logs / f"{name}.log"
        return Child(name, "service.entry", sockets.arguments, own, code, (sockets.clients, sockets.admin), log)

    children = [child(name) for name in islice(names_of(settings.worker), count)]
    return Workers(children, counters=settings.counters_path, hang_seconds=settings.hang_seconds)


def keep_workers(settings: Settings, sockets: Sockets, environment: Mapping[str, str], code: Path) -> int:
    """Be the parent of this server's workers until told to stop, as a container's first process is.

    Args:
        settings: Of the server.
        sockets: At which all of them wait.
        environment: Of each, beside this process's own.
        code: The folder that their code comes from.

    Returns:
        The exit code: 0 after a clean stop.
    """
    stop = stop_at_signals()
    workers = make_workers(settings, sockets, count=settings.workers, code=lambda: code, environment=environment)
    logger.info("workers_started", extra={"workers": settings.workers})
    workers.start()
    try:
        while not stop.wait(LOOK_SECONDS):
            if workers.look(time.monotonic()) is not None:
                return BAD_START
    finally:
        workers.stop(settings.grace_seconds + 10.0)
        sockets.close()
    return 0
