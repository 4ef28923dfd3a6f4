"""The client by which scoring asks judge and insight: what it keeps between calls, and what it cannot ask."""

import asyncio
import contextlib

import pytest

from bentos.errors import Unavailable
from service.http.client import HttpClient

EMPTY = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nset-cookie: a=kept\r\n\r\n{}"


@contextlib.asynccontextmanager
async def server():
    """A server that answers every request with an object; gives its address and what it heard, by connection."""
    heard, ended = [], []

    async def serve(reader, writer):
        heard.append(requests := [])
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(EMPTY)
                await writer.drain()
        ended.append(requests)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", heard, ended


def test_one_connection_serves_call_after_call_and_ends_with_the_client():
    async def talk():
        async with server() as (url, heard, ended):
            client = HttpClient("insight", url + "/", timeout_seconds=5)
            answers = [await client.ask("GET", "/a", headers={"x-request-id": "r"}) for _ in range(3)]
            assert not ended
            await client.close()
            while not ended:
                await asyncio.sleep(0.01)
            return answers, heard

    answers, heard = asyncio.run(talk())
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"{}")] * 3
    assert [len(requests) for requests in heard] == [3]
    assert all(request.startswith(b"GET /a HTTP/1.1\r\n") for request in heard[0])
    assert all(b"x-request-id: r\r\n" in request for request in heard[0])
    assert not any(b"cookie" in request.lower() for request in heard[0])


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[", "http://", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_unavailable(url):
    async def talk():
        client = HttpClient("insight", url, timeout_seconds=5)
        try:
            await client.ask("GET", "/", headers={})
        finally:
            await client.close()

    with pytest.raises(Unavailable, match=r"^insight at "):
        asyncio.run(talk())
