"""Connections: how many there may be, and which end because nothing moves on them."""

import asyncio
from types import SimpleNamespace

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.http.application import HttpApplication
from service.http.connections import MOST_CONNECTIONS, Stalled, most_connections
from service.http.messages import Response, Route
from service.http.server import PIECE_BYTES, Protocol

ASKED = b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n"


class Transport:
    """A connection whose client reads only when it is told to."""

    def __init__(self):
        self.written, self.buffered, self.ended = b"", 0, []

    def write(self, data):
        self.written += data

    def is_closing(self):
        return bool(self.ended)

    def close(self):
        self.ended.append("close")

    def abort(self):
        self.ended.append("abort")

    def get_write_buffer_size(self):
        return self.buffered

    def get_extra_info(self, _name, default=None):
        return default

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


class Connection:
    cycle = None

    def __init__(self, *, is_paused=False, timer=None):
        self.transport, self.timeout_keep_alive_task = Transport(), timer
        self.flow = SimpleNamespace(write_paused=is_paused)


@pytest.mark.parametrize(("files", "most"), [(1024, 896), (100, 1), (1_000_000, MOST_CONNECTIONS)])
def test_there_are_fewer_connections_than_files(files, most):
    assert most_connections(files) == most


def test_who_sends_nothing_is_let_go_and_who_waits_between_two_requests_is_not():
    stalled, silent, idle = Stalled(10.0), Connection(), Connection(timer=object())
    for now in (0.0, 10.0):
        stalled.sweep([silent, idle], now)
        assert silent.transport.ended == []
    stalled.sweep([silent, idle], 10.1)
    assert (silent.transport.ended, idle.transport.ended) == (["close"], [])


def test_who_reads_slowly_is_waited_for_and_who_reads_nothing_is_cut_off():
    slow, stuck = (Connection(is_paused=True) for _ in range(2))
    stalled = Stalled(10.0)
    for second in range(12):
        slow.transport.buffered = 1000 - second
        stuck.transport.buffered = 1000
        stalled.sweep([slow, stuck], float(second))
    assert (slow.transport.ended, stuck.transport.ended) == ([], ["abort"])


def test_a_connection_that_is_closed_and_whose_client_does_not_read_is_cut_off():
    closed = Connection(timer=object())
    closed.transport.close()
    stalled = Stalled(10.0)
    stalled.sweep([closed], 0.0)
    stalled.sweep([closed], 11.0)
    assert closed.transport.ended == ["close", "abort"]


def connected(route):
    http = HttpApplication([route], body_limit_bytes=1 << 30, count_request=lambda *_: None)
    config = uvicorn.Config(http, http="httptools", ws="none", lifespan="off", log_config=None)
    protocol, transport = Protocol(config, ServerState(), {}), Transport()
    protocol.connection_made(transport)
    return protocol, transport


def test_of_many_requests_in_one_read_few_wait_in_memory_and_all_are_answered():
    async def small(_request):
        return Response(200, b"small")

    async def scene():
        protocol, transport = connected(Route("GET", "/small", small, ""))
        most = 0
        for _ in range(2):
            protocol.data_received(ASKED * 1500)
        while transport.written.count(b"small") < 3000:
            most = max(most, len(protocol.pipeline))
            await asyncio.sleep(0)
        protocol.timeout_keep_alive_task.cancel()
        return most, protocol.flow.read_paused, transport.ended

    most, is_paused, ended = asyncio.run(scene())
    assert 0 < most <= PIECE_BYTES // len(ASKED) + 1
    assert (is_paused, ended) == (False, [])


def test_a_body_that_nobody_takes_yet_is_not_read_on():
    async def scene():
        begun, taken = asyncio.Event(), []

        async def late(request):
            await begun.wait()
            taken.extend([len(part) async for part in request.parts])
            return Response(200, b"taken")

        protocol, transport = connected(Route("POST", "/late", late, "", is_streamed=True))
        head = b"POST /late HTTP/1.1\r\nhost: x\r\ncontent-length: 400000\r\n\r\n"
        protocol.data_received(head + b"x" * 200_000)
        for _ in range(5):
            await asyncio.sleep(0)
        is_paused = protocol.flow.read_paused
        begun.set()
        while protocol.flow.read_paused:
            await asyncio.sleep(0)
        protocol.data_received(b"x" * 200_000)
        while b"taken" not in transport.written:
            await asyncio.sleep(0)
        protocol.timeout_keep_alive_task.cancel()
        return is_paused, sum(taken)

    assert asyncio.run(scene()) == (True, 400_000)
