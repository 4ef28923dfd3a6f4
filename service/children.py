"""A child process of the supervisor: started with its log, found dead, due again after a pause, stopped."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

logger = logging.getLogger("gauntlet.supervisor")

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
STEADY_SECONDS = 60.0
"""A child that lived this long starts again at once."""


@dataclass
class Child:
    """One child process.

    Attributes:
        name: `scoring`, `shipper` or `judge`; its log is `logs/NAME.log` in the folder.
        module: What is run.
        arguments: With these.
        environment: Beside this process's own.
        code: The folder that its code comes from; asked at each start, because a link in it may have moved.
        inherited: A socket that it listens on.
        process: While it runs.
        started: When it was started last, on the monotonic clock.
        pause_seconds: Before the next start.
    """

    name: str
    module: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    code: Callable[[], Path]
    inherited: socket.socket | None = None
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause_seconds: float = 0.0
    _due: float = field(default=0.0, repr=False)

    def start(self, log: Path) -> None:
        """Start it, its stderr and stdout at the end of its log."""
        code = self.code()
        environment = {**os.environ, **self.environment, "PYTHONPATH": str(code), "PYTHONUNBUFFERED": "1"}
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as file:
            self.process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "service.child", self.module, *self.arguments],
                cwd=code,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                pass_fds=() if self.inherited is None else (self.inherited.fileno(),),
                start_new_session=True,  # Ctrl-C in a terminal is for this process, which stops them in order
            )
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

    def stop(self, grace_seconds: float) -> None:
        """Tell it to stop, wait, and kill it if it does not."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            logger.error("child_killed", extra={"child": self.name})
            self.process.kill()
            self.process.wait()
        self._let_go()

    def _let_go(self) -> None:
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None
