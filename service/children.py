"""Child processes that are kept running: started with their logs, started again when they die or hang, stopped."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger("gauntlet.supervisor")

BAD_START = 2
"""Exit code where starting again would fail again."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 60.0
"""A child that lived this long starts again at once."""


@dataclass
class Child:
    """One child process.

    Attributes:
        name: `scoring`, `scoring-2`, `shipper` or `judge`.
        module: What is run.
        arguments: With these.
        environment: Beside this process's own.
        code: The folder that its code comes from; asked at each start, because a link in it may have moved.
        inherited: Sockets that it listens on.
        log: The file that its output goes to; None: where this process's own goes.
        process: While it runs.
        started: When it was started last, on the monotonic clock.
        pause_seconds: Before the next start.
    """

    name: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    code: Callable[[], Path]
    inherited: Sequence[socket.socket] = ()
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_seconds: float = 0.0
    _due: float = field(default=0.0, repr=False)

    def start(self) -> None:
        """Start it, its stderr and stdout at the end of its log, which it rotates itself."""
        code = self.code()
        if self.log is None:
            self.process = self._spawn(code, None)
        else:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            with self.log.open("ab") as file:
                self.process = self._spawn(code, file.fileno())
        self.started = time.monotonic()

    def look(self, now: float) -> int | None:
        """Its exit code if it was found dead just now; from then on it is due to start again after its pause."""
        if self.process is None or self.process.poll() is None:
            return None
        code = self.process.returncode
        self._let_go()
        lived = now - self.started
        self.pause_seconds = (
            0.0
            if lived >= STEADY_SECONDS
            else min(max(2 * self.pause_seconds, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        )
        self._due = now + self.pause_seconds
        return code

    def is_due(self, now: float) -> bool:
        """Whether it is dead and should be started now."""
        return self.process is None and now >= self._due

    def kill(self) -> None:
        """End it at once, stopped or not; it is found dead at the next look."""
        if self.process is not None:
            self.process.kill()

    def tell_to_stop(self) -> None:
        """Ask it to stop, and do not wait."""
        if self.process is not None:
            self.process.terminate()

    def wait(self, grace_seconds: float) -> None:
        """Wait until it has stopped, and kill it if it does not."""
        if self.process is None:
            return
        try:
            self.process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            logger.error("child_killed", extra={"child": self.name})
            self.process.kill()
            self.process.wait()
        self._let_go()

    def _spawn(self, code: Path, output: int | None) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1"}
        log = () if self.log is None else ("--log", str(self.log.resolve()))
        return subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "service.child", *log, self.module, *self.arguments],
            cwd=code,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            pass_fds=[one.fileno() for one in self.inherited],
            start_new_session=True,  # Ctrl-C in a terminal is for this process, which stops them in order
        )

    def _let_go(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None


class Children:
    """Children that are kept running together.

    Attributes:
        children: In the order in which they are started.
    """

    def __init__(self, children: Iterable[Child]) -> None:
        self.children = tuple(children)

    def start(self) -> None:
        """Start every one."""
        for child in self.children:
            child.start()

    def look(self, now: float) -> list[tuple[Child, int]]:
        """Look who died.

        Args:
            now: The monotonic clock, seconds.

        Returns:
            Those that were found dead just now, with their exit codes.
        """
        found = []
        for child in self.children:
            code = child.look(now)
            if code is not None:
                extra = {"child": child.name, "exit_code": code, "pause_seconds": child.pause_seconds}
                logger.error("child_died", extra=extra)
                found.append((child, code))
        return found

    def start_due(self, now: float) -> None:
        """Start again what died, where its pause is over."""
        for child in self.children:
            if child.is_due(now):
                child.start()

    def is_any_running(self) -> bool:
        """Whether one of them runs, as far as the last look knows."""
        return any(child.process is not None for child in self.children)

    def stop(self, grace_seconds: float) -> None:
        """Tell all to stop, then wait for each and kill it if it does not."""
        for child in self.children:
            child.tell_to_stop()
        until = time.monotonic() + grace_seconds
        for child in self.children:
            child.wait(max(0.0, until - time.monotonic()))
