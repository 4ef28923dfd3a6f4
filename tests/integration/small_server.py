"""A server with one echoing route; its arguments are PORT ADMIN_PORT PATIENCE DRAIN. Started by test_http_server."""

from __future__ import annotations

import asyncio
import signal
import sys
from functools import partial

import uvicorn

from service.entry import listen
from service.http.admin_port import AdminPort
from service.http.application import HttpApplication
from service.http.limits import Bound, Patience
from service.http.messages import Guard, Request, Response, Route, Tell, in_a_task
from service.http.server import Protocol, Server

MOST_CONNECTIONS = 40


def main(port: int, admin_port: int, patience_seconds: float, drain_seconds: float) -> None:
    patience = Patience(patience_seconds)
    routes = (
        Route("POST", "/echo", echo, "Echo."),
        Route("POST", "/soon", in_a_task(echo_soon), "Echo, by the short way.", soon=echo_soon),
        Route("GET", "/large", large, "Two megabytes."),
        Route("POST", "/slow", slow, "Echo, a little later."),
        Route("POST", "/parts", in_parts, "Echo, piece by piece.", is_streamed=True),
    )
    http = HttpApplication(
        routes,
        body_limit_bytes=100_000,
        count_request=lambda *_: None,
        guard=Guard(patience=patience, bound=Bound(2)),
    )
    admin = AdminPort(
        HttpApplication(routes, body_limit_bytes=100, count_request=lambda *_: None), patience_seconds=patience_seconds
    )

    async def front(scope, receive, send):
        if scope["type"] == "http":
            await http(scope, receive, send)
            return
        await receive()
        await admin.open(listen("127.0.0.1", admin_port, is_shared=True))
        sweeping = asyncio.create_task(sweep())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        sweeping.cancel()
        await admin.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def sweep():
        while True:
            await asyncio.sleep(0.05)
            patience.sweep()
            admin.sweep()

    front.http = http  # the server finds the short way by it

    def drain():
        http.is_draining = True

    config = uvicorn.Config(
        front,
        http=partial(Protocol, most_connections=MOST_CONNECTIONS),
        loop="uvloop",
        ws="none",
        lifespan="on",
        log_config=None,
    )
    server = Server(config, drain=drain, drain_seconds=drain_seconds, patience_seconds=patience_seconds)
    signal.signal(signal.SIGTERM, lambda *_: None)
    server.run(sockets=[listen("127.0.0.1", port)])


async def echo(request: Request) -> Response:
    return Response(200, request.body)


def echo_soon(request: Request, tell: Tell) -> None:
    if request.body == b"crash":
        raise RuntimeError("boom")
    asyncio.get_running_loop().call_later(0.02, tell, Response(200, request.body))


async def large(_request: Request) -> Response:
    return Response(200, b"x" * 2_000_000)


async def slow(request: Request) -> Response:
    await asyncio.sleep(0.5)
    return Response(200, request.body)


async def in_parts(request: Request) -> Response:
    assert request.parts is not None

    async def answers():
        async for part in request.parts:
            yield part

    return Response(200, b"", parts=answers())


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
