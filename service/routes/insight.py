"""Insight, which explains and writes e-mails, behind scoring's own routes: bounded in time, size and number.

Insight may be slow, large or dead; scoring neither waits nor fails for it. What it answers is passed on as it is.
"""

from __future__ import annotations

import asyncio
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import msgspec

from bentos.errors import Unavailable
from service.http.following import passed_on
from service.http.limits import Bound
from service.http.messages import Handler, Request, Response

if TYPE_CHECKING:
    import httpx

ANSWER_LIMIT_BYTES = 1024 * 1024
MOST_AT_ONCE = 16
"""Calls that wait for insight at the same time; more are told to come again."""

_is_json = msgspec.json.Decoder(msgspec.Raw).decode


class InsightClient:
    """Insight over HTTP.

    Attributes:
        url: Where it answers.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect to nobody yet.

        Args:
            url: Where it answers.
            timeout_seconds: How long one call may take from its beginning to the answer's end.
        """
        self.url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._bound = Bound(MOST_AT_ONCE)
        self._opening = asyncio.Lock()
        self._client: httpx.AsyncClient | None = None

    async def ask(self, path: str, request: Request) -> Response:
        """Pass a request on, and its answer back. The client's key and cookies stay here.

        Raises:
            HttpRefusal: As many calls wait as may.
            Unavailable: Insight does not answer in time, or answers something else than JSON of a sensible size.
        """
        self._bound.enter()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._ask(path, request)
        except TimeoutError as e:
            raise Unavailable(f"insight did not answer within {self._timeout_seconds:g} s") from e
        finally:
            self._bound.leave()

    async def close(self) -> None:
        """Let go of its connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _ask(self, path: str, request: Request) -> Response:
        async with self._opening:
            if self._client is None:
                # Importing modules and reading certificates takes a tenth of a second, for which nobody else waits.
                self._client = await asyncio.to_thread(_open, self._timeout_seconds)
        import httpx

        headers = {**passed_on(request.headers), "content-type": "application/json", "accept-encoding": "identity"}
        try:
            asked = self._client.stream("POST", self.url + path, content=request.body, headers=headers)
            async with asked as answer:
                body = await _read(answer)
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise Unavailable(f"insight at {self.url} does not answer: {str(e) or type(e).__name__}") from e
        return _passed_back(answer, body)


def insight_handler(client: InsightClient | None, path: str) -> Handler:
    """What answers a route by insight.

    Args:
        client: None where no insight is named.
        path: Of the route, here and there.
    """

    async def answer(request: Request) -> Response:
        if client is None:
            raise Unavailable("no insight is named: GAUNTLET_INSIGHT_URL is not set")
        return await client.ask(path, request)

    return answer


def _open(timeout_seconds: float) -> httpx.AsyncClient:
    import httpx

    return httpx.AsyncClient(
        timeout=timeout_seconds,
        trust_env=False,
        follow_redirects=False,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(max_connections=MOST_AT_ONCE),
    )


async def _read(answer: httpx.Response) -> bytes:
    """The answer's body as it comes over the line: unpacked, it could be of any size."""
    packing = answer.headers.get("content-encoding", "identity")
    if packing != "identity":
        raise Unavailable(f"insight answers packed as {packing[:40]!r}, which was not asked for")
    body = bytearray()
    async for part in answer.aiter_raw():
        body += part
        if len(body) > ANSWER_LIMIT_BYTES:
            raise Unavailable(f"insight answers more than {ANSWER_LIMIT_BYTES} bytes")
    return bytes(body)


def _passed_back(answer: httpx.Response, body: bytes) -> Response:
    """The answer, if it is one that a client of ours can read."""
    declared = answer.headers.get("content-type", "")
    kind = declared.split(";", 1)[0].strip().lower()
    is_declared = kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
    try:
        _is_json(body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        is_declared = False
    if not is_declared or answer.is_redirect or answer.status_code < 200:
        raise Unavailable(f"insight answers {answer.status_code} with {kind[:40] or 'no content type'!r} and no JSON")
    wait = answer.headers.get("retry-after", "")
    extra = ((b"retry-after", wait.encode()),) if wait.isdigit() and len(wait) < 6 else ()
    return Response(answer.status_code, body, kind.encode("ascii", "replace"), extra)
