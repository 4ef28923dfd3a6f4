"""How many connections there may be, and which are ended because nothing moves on them.

Every connection is an open file. Where clients take all files that a process may open, it cannot begin the next segment
of its prediction log: so there are fewer connections than files.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from service.http.problems import TOO_SLOW, HttpRefusal

MOST_CONNECTIONS = 4096
SPARE_FILES = 128
"""Files beside the clients' connections: the log, the counters, models, the admin port's connections."""
MOST_ADMIN_CONNECTIONS = 64

REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\ncache-control: no-store\r\n"
    b"retry-after: 1\r\nconnection: close\r\n\r\n"
)
"""What a connection is told that is one too many."""


def allow_connections() -> int:
    """Let this process open as many files as it needs and may; gives how many connections there may be."""
    if sys.platform == "win32":
        return MOST_CONNECTIONS
    import resource

    files, highest = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + SPARE_FILES
    if files == resource.RLIM_INFINITY or files >= wanted:
        return MOST_CONNECTIONS
    files = wanted if highest == resource.RLIM_INFINITY else min(wanted, highest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, highest))
    return most_connections(files)


def most_connections(files: int) -> int:
    """How many connections there may be where so many files may be open."""
    return max(1, min(MOST_CONNECTIONS, files - SPARE_FILES))


class Stalled:
    """Ends connections on which nothing moves though the client is awaited.

    A request's own task knows how long it has waited for a body; this is for what no task waits for: heads, bodies on
    the short way, and answers that nobody reads.
    """

    def __init__(self, patience_seconds: float) -> None:
        """Wait for nobody yet.

        Args:
            patience_seconds: How long a client may let nothing move.
        """
        self._patience_seconds = patience_seconds
        self._since: dict[Any, tuple[object, float]] = {}

    def sweep(self, connections: Iterable[Any], now: float) -> None:
        """End what has stood still for too long.

        Args:
            connections: All of them, as uvicorn's protocols.
            now: Monotonic, in seconds.
        """
        states = ((one, _awaited(one)) for one in list(connections))
        before, self._since = self._since, {}
        for one, state in states:
            if state is None:
                continue
            known = before.get(one)
            since = now if known is None or known[0] != state else known[1]
            self._since[one] = (state, since)
            if now - since > self._patience_seconds:
                self._end(one, state)

    def _end(self, protocol: Any, state: object) -> None:
        if state == "body":
            seconds = self._patience_seconds
            protocol.cycle.refuse(HttpRefusal(TOO_SLOW, f"the body took longer than {seconds:g} s"))
        elif state == "head":
            protocol.transport.close()
        else:
            protocol.transport.abort()  # `close` would wait until the rest of the answer is read


def _awaited(protocol: Any) -> object:
    """What the client is awaited for; None where it is not. A number of bytes that it shall read is one while it lasts.

    Neither a request nor uvicorn's own timer for idle connections waits for these.
    """
    transport, cycle = protocol.transport, protocol.cycle
    if transport.is_closing() or protocol.flow.write_paused:
        return transport.get_write_buffer_size()
    if getattr(cycle, "lacks_body", False):
        return "body"
    is_idle = cycle is None or cycle.response_complete
    return "head" if is_idle and protocol.timeout_keep_alive_task is None else None
