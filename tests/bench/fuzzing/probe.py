"""Asks /livez all the time, in a process of its own, and remembers when the answer was late: `… PORT MILLISECONDS`.

It ends when its stdin does, and prints a JSON list of [begin, end] on `time.monotonic`, the same clock everywhere on
this machine.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen

_ASK = b"GET /livez HTTP/1.1\r\nHost: probe\r\n\r\n"
_PAUSE_SECONDS = 0.0005
_ROOT = Path(__file__).parents[3]


@dataclass
class Lateness:
    """When the server was late.

    Attributes:
        gaps: Begin and end of each, on `time.monotonic`; there when the watching is over.
    """

    gaps: tuple[tuple[float, float], ...] = ()

    def longest_ms(self, since: float = 0.0, until: float = float("inf")) -> float:
        """The longest that touches a stretch of time."""
        return max((1000 * (end - begin) for begin, end in self.gaps if end >= since and begin <= until), default=0.0)


@contextmanager
def watching(port: int, *, from_ms: float = 5.0) -> Iterator[Lateness]:
    """Watch a server's event loop while the block runs.

    Args:
        port: Of the server.
        from_ms: Shorter gaps are not kept.
    """
    command = [sys.executable, "-m", "tests.bench.fuzzing.probe", str(port), str(from_ms)]
    found = Lateness()
    with Popen(command, cwd=_ROOT, stdin=PIPE, stdout=PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield found
        finally:
            said, _ = process.communicate()
            found.gaps = tuple((begin, end) for begin, end in json.loads(said or b"[]"))


def _watch(port: int, from_seconds: float, is_over: threading.Event) -> list[tuple[float, float]]:
    gaps: list[tuple[float, float]] = []
    connection: socket.socket | None = None
    while not is_over.is_set():
        began = time.monotonic()
        try:
            connection = connection or socket.create_connection(("127.0.0.1", port), timeout=60)
            connection.sendall(_ASK)
            if not connection.recv(4096):
                connection = None
        except OSError:
            connection = None
        ended = time.monotonic()
        if ended - began >= from_seconds:
            gaps.append((began, ended))
        time.sleep(_PAUSE_SECONDS)
    return gaps


def main(port: int, from_ms: float) -> None:
    """Watch until stdin ends."""
    is_over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    sys.stdout.write("watching\n")
    sys.stdout.flush()
    sys.stdout.write(json.dumps(_watch(port, from_ms / 1000, is_over)))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
