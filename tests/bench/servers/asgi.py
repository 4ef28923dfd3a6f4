"""Bare ASGI on uvicorn, for the servers that say how fast any server here can be."""

from __future__ import annotations

import gc
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Answer = Callable[[bytes], bytes]


def serve(answer: Answer, *, reads_body: bool = True) -> None:
    """Serve one function from body to body on the port in `BENCH_PORT`, with the settings of Gauntlet's fast entry.

    Args:
        answer: Every POST's answer.
        reads_body: Whether the body is waited for at all.
    """
    import uvicorn

    async def application(scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        if reads_body and scope["method"] == "POST":
            message = await receive()
            body = message["body"]
            while message.get("more_body"):
                message = await receive()
                body += message["body"]
        said = answer(body) if scope["method"] == "POST" else b"ready"
        length = str(len(said)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": said})

    gc.collect()
    gc.freeze()  # as Gauntlet does
    uvicorn.run(
        application,
        port=int(os.environ["BENCH_PORT"]),
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        proxy_headers=False,
        access_log=False,
        log_level="error",
        server_header=False,
        timeout_keep_alive=75,
    )
