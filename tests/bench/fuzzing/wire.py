"""A client that sends whatever it is given, and tells an answer from an end and an end from a hang."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse

_PAUSE_SECONDS = 0.002


@dataclass(frozen=True)
class Answer:
    """What came of a request.

    Attributes:
        status: Of the answer; 0 where none was read.
        content_type: In lower case, without parameters.
        body: Its bytes.
        headers: In lower case; of one that came twice both.
        began: When the request was begun, on `time.monotonic`.
        seconds: Until the end of the answer.
        why: Where there is no answer: `closed` or `hung`.
    """

    status: int = 0
    content_type: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    began: float = 0.0
    seconds: float = 0.0
    why: str = ""


def send(
    port: int, pieces: Sequence[bytes], *, method: bytes = b"POST", limit_seconds: float = 20.0, stays: bool = True
) -> Answer:
    """Send bytes over a connection of its own, and read one answer.

    Args:
        port: On 127.0.0.1.
        pieces: Sent with a pause between.
        method: HEAD has an answer without a body.
        limit_seconds: After which it hangs.
        stays: Whether the client waits with its side of the connection open.
    """
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=limit_seconds) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sending = threading.Thread(target=_send_all, args=(connection, pieces, stays), daemon=True)
        if sum(map(len, pieces)) > 100_000:  # the server may answer before it has read everything
            sending.start()
        else:
            sending.run()
        return _read(connection, method.decode("latin-1"), began, limit_seconds)


def _send_all(connection: socket.socket, pieces: Sequence[bytes], stays: bool) -> None:
    with suppress(OSError):  # what was read says why
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(_PAUSE_SECONDS)
            connection.sendall(piece)
        if not stays:
            connection.shutdown(socket.SHUT_WR)


def _read(connection: socket.socket, method: str, began: float, limit_seconds: float) -> Answer:
    response = HTTPResponse(connection, method=method)
    try:
        response.begin()
        body = response.read()
    except TimeoutError:
        return Answer(began=began, seconds=time.monotonic() - began, why="hung")
    except (OSError, HTTPException, ValueError):
        why = "hung" if time.monotonic() - began > limit_seconds else "closed"
        return Answer(began=began, seconds=time.monotonic() - began, why=why)
    finally:
        response.close()
    headers = tuple((name.lower(), value) for name, value in response.getheaders())
    kind = response.headers.get("content-type", "").split(";", 1)[0].strip().lower()
    return Answer(response.status, kind, body, headers, began, time.monotonic() - began)
