"""Asking another server from the loop that answers clients: bounded in time, in number and in what comes back.

By aiohttp's client: a call takes a third of the loop's time that httpx's takes, and meanwhile nobody is scored.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bentos.errors import Unavailable

if TYPE_CHECKING:
    import aiohttp

ANSWER_LIMIT_BYTES = 1024 * 1024
MOST_CONNECTIONS = 16
"""A call beyond these waits for one of them."""
IDLE_SECONDS = 4.0
"""For so long an idle connection is kept: less than servers of ours do (5 s), so that no request meets its end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        status: HTTP status.
        headers: By name, however that is spelled.
        body: Its bytes.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class HttpClient:
    """A client of one server. It keeps no cookies, follows no redirects and knows no proxy.

    Attributes:
        url: Where the server answers.
    """

    def __init__(self, name: str, url: str, *, timeout_seconds: float) -> None:
        """Connect to nobody yet.

        Args:
            name: Of the server, for people.
            url: Where it answers.
            timeout_seconds: How long one call may take from its beginning to the answer's end.
        """
        self.url = url.rstrip("/")
        self._name = name
        self._timeout_seconds = timeout_seconds
        self._opening = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, method: str, path: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """Ask once.

        Raises:
            Unavailable: The server does not answer in time, breaks off, or answers too much.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask(method, path, headers, body)
        except TimeoutError as e:
            raise Unavailable(f"{self._name} at {self.url} did not answer within {self._timeout_seconds:g} s") from e

    async def close(self) -> None:
        """Let go of its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        session = await self._opened()
        import aiohttp

        sent = {**headers, "accept-encoding": "identity"}
        try:
            asked = session.request(method, self.url + path, data=body, headers=sent, allow_redirects=False)
            async with asked as answer:
                return Answer(answer.status, answer.headers, await self._read(answer))
        except aiohttp.ClientError as e:
            raise Unavailable(f"{self._name} at {self.url} does not answer: {str(e) or type(e).__name__}") from e

    async def _opened(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                # Importing modules and reading certificates takes a tenth of a second, for which nobody else waits.
                await asyncio.to_thread(importlib.import_module, "aiohttp")
                self._session = _open()
            return self._session

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        """The answer's body as it comes over the line: unpacked, it could be of any size."""
        packing = answer.headers.get("content-encoding", "identity")
        if packing != "identity":
            raise Unavailable(f"{self._name} answers packed as {packing[:40]!r}, which was not asked for")
        body = bytearray()
        async for part in answer.content.iter_any():
            body += part
            if len(body) > ANSWER_LIMIT_BYTES:
                raise Unavailable(f"{self._name} answers more than {ANSWER_LIMIT_BYTES} bytes")
        return bytes(body)


def _open() -> aiohttp.ClientSession:
    import aiohttp

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MOST_CONNECTIONS, keepalive_timeout=IDLE_SECONDS),
        timeout=aiohttp.ClientTimeout(),  # none of its own: the whole call has one
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("user-agent",),
        auto_decompress=False,
        trust_env=False,
    )
