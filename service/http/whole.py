"""A whole request on its short way from uvicorn's parser to its answer, without a task."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.http.application import HttpApplication, Pairs, headers_of, too_large
from service.http.messages import Request, Response, Route
from service.http.problems import HttpRefusal

if TYPE_CHECKING:
    from service.http.server import Protocol

_CLOSE = (b"connection", b"close")
_LONGEST_LENGTH = 15


class _Nobody:
    """Stands where uvicorn wakes a task up that waits for the body."""

    def set(self) -> None:
        """Wake nobody up."""


class Whole:
    """One request on the short way, with what uvicorn asks of a request that is being answered.

    Attributes:
        response_complete: Whether its answer is out.
        disconnected: Whether the client has left.
        keep_alive: Whether the connection stays open after the answer.
        more_body: Whether the body has not ended.
        message_event: Of no use here.
    """

    message_event = _Nobody()

    def __init__(self, protocol: Protocol, http: HttpApplication, route: Route) -> None:
        """Begin with the head.

        Args:
            protocol: Its connection.
            http: Answers.
            route: Its route.
        """
        parser = protocol.parser
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        self.more_body = True
        self._protocol = protocol
        self._http = http
        self._route = route
        self._pieces: list[bytes] = []
        self._size = 0
        self._request = Request(dict(protocol.headers), started=time.perf_counter())
        self._limit = http.limit_of(route)
        length = self._request.headers.get(b"content-length", b"0")
        if len(length) > _LONGEST_LENGTH or int(length) > self._limit:
            self.refuse(too_large(self._limit))

    @property
    def lacks_body(self) -> bool:
        """Whether the rest of the body is to come, which nobody else waits for."""
        return self.more_body and not self.response_complete

    def take(self, piece: bytes) -> None:
        """A piece of the body; what comes after a refusal is not kept."""
        if self.response_complete:
            return
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limit:
            self.refuse(too_large(self._limit))

    def answer(self) -> None:
        """The body has ended."""
        self.more_body = False
        if not self.response_complete:
            self._request.body = b"".join(self._pieces)
            self._http.answer_soon(self._route, self._request, self._respond)

    def refuse(self, refusal: HttpRefusal) -> None:
        """Answer before the body has ended; the connection cannot be used again."""
        self.keep_alive = False
        self._http.refuse(self._route, self._request, refusal, self._respond)

    def _respond(self, response: Response, beside: Pairs) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        protocol = self._protocol
        if self.disconnected or protocol.transport.is_closing():
            return
        if _CLOSE in beside:
            self.keep_alive = False
        elif not self.keep_alive:
            beside = (*beside, _CLOSE)
        head = [STATUS_LINE[response.status]]
        for name, value in (*protocol.server_state.default_headers, *headers_of(response), *beside):
            head += (name, b": ", value, b"\r\n")
        head += (b"\r\n", response.body)
        protocol.transport.write(b"".join(head))
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
        if protocol.flow.write_paused:  # who reads no answers shall send no more requests
            protocol.flow.pause_reading()
